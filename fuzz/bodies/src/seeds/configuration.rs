//! Configurations.

use config::{ImageShape, Layers, PRESETS, to_toml};

use super::{Seeds, named};

pub(crate) fn config_toml() -> Seeds {
    let mut seeds: Seeds =
        PRESETS.iter().map(|(name, _, text)| (format!("preset-{name}"), text.as_bytes().to_vec())).collect();
    let images = ImageShape { height: 16, width: 16, channels: 1, classes: 10 };
    let settled = Layers { preset: Some("tiny-16"), ..Layers::default() }.settle(&images);
    let run = settled.and_then(|config| to_toml(&config));
    seeds.extend(run.ok().map(|text| ("run".to_owned(), text.into_bytes())));
    seeds.extend(named([
        ("user", "preset = 'tiny-16'\n[train]\nlr = 1e-3\nsteps = 0x10\n"),
        ("dotted", "preset = \"images\"\nmodel.embedding = { kind = 'fourier', frequencies = 4, scale = 1.0, seed = 1 }\n"),
        ("dates", "a = 1979-05-27T07:32:00Z\nb = [nan, -inf, +1_000]\n\"c\" = '''x'''\n"),
        ("nested", "a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"),
        ("tables", "[[a]]\n[[a.b]]\n[a.b.c]\n[[a]]\n"),
        ("preset-number", "preset = 3"),
    ]));
    seeds
}

pub(crate) fn overrides() -> Seeds {
    named([
        ("numbers", "train.lr=1e-4\ntrain.steps = 5\nseed=9223372036854775807"),
        ("lists", "model.channel_mults=[1, 2]\nmodel.attention_resolutions=[8]\nimages.padding=[0, 0, 0, 0]"),
        ("texts", "data.source=/x y/z=1\ndata.fit=pad\nprecision=bf16\nmodel.time_injection=input"),
        ("tables", "schedule={kind='cosine', s=0.008, max_beta=0.999, steps=10}"),
        ("through-a-value", "seed.x=1"),
        ("unknown", "train.rl=1\nno_such.key=2"),
        ("wrong", "=1\na..b=1\na"),
        (
            "extremes",
            "train.lr=nan\nschedule.steps=0\nmodel.channel_mults=[]\nmodel.base_channels=9223372036854775807",
        ),
        ("deep", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1"),
    ])
}
