//! Configurations.

use config::{ImageShape, Layers, PRESETS, to_toml};

use super::{Seeds, named};
use crate::configuration::choice;

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
    let seeds = [
        ("numbers", Some("tiny-16"), 1, "train.lr=1e-4\ntrain.steps = 5\nseed=9223372036854775807"),
        ("lists", Some("tiny-16"), 1, "model.channel_mults=[1, 2]\nmodel.attention_resolutions=[8]"),
        ("texts", Some("fashion-28"), 0, "data.source=/x y/z=1\ndata.fit=pad\nprecision=bf16"),
        ("tables", Some("tiny-16"), 1, "schedule={kind='cosine', s=0.008, max_beta=0.999, steps=10}"),
        ("through-a-value", Some("tiny-16"), 1, "seed.x=1"),
        ("unknown", Some("tiny-16"), 1, "train.rl=1\nno_such.key=2"),
        ("wrong", None, 1, "=1\na..b=1\na"),
        (
            "extremes",
            Some("tiny-16"),
            1,
            "train.lr=nan\nschedule.steps=0\nmodel.channel_mults=[]\nmodel.base_channels=9223372036854775807",
        ),
        ("half-of-2^63", Some("tiny-16"), 1, "model.base_channels=4611686018427387904"),
        ("deep", Some("tiny-16"), 1, "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1"),
        ("classes", Some("fashion-28-classes"), 0, "train.label_dropout=0.2\nmodel.classes=10"),
        ("paper", Some("ddpm-cifar10"), 2, "train.on_nan=rollback\nmodel.time_injection=input"),
        ("images-choose", None, 3, "model.dropout=0.1\ndata.pad_to_multiple=4"),
        ("not-square", Some("images"), 4, "model.channel_mults=[1, 1, 2, 2]\nmodel.blocks_per_level=3"),
        ("no-such-images", None, 5, "images.padding=[0, 0, 0, 0]"),
    ];
    named(seeds.map(|(name, preset, images, lines)| {
        (name, [&[choice(preset, images)][..], lines.as_bytes()].concat())
    }))
}
