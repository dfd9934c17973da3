//! The wrong calls, and the exit code of each.

/// The words of a call, and the exit code it must end with.
pub(crate) struct Call {
    pub(crate) line: &'static str,
    pub(crate) code: i32,
}

/// A mistake of usage or of configuration.
const fn usage(line: &'static str) -> Call {
    Call { line, code: 2 }
}

/// Something is wrong with a file or with the machine.
const fn failure(line: &'static str) -> Call {
    Call { line, code: 1 }
}

/// A training of a new run.
macro_rules! train {
    ($flags:literal) => {
        concat!("train --preset tiny-16 --run new ", $flags)
    };
}

/// Samples of the trained run.
macro_rules! sample {
    ($flags:literal) => {
        concat!("sample --run run --out out ", $flags)
    };
}

/// Samples of a run with classes.
macro_rules! classes {
    ($flags:literal) => {
        concat!("sample --run classes --out out ", $flags)
    };
}

/// Every mistake, by theme.
pub(crate) const CALLS: &[Call] = &[
    // Names of commands, flags, presets, keys.
    usage("trian"),
    usage("train --perset tiny-16"),
    usage("train --preset tiny-61 --run new"),
    usage("train --preset xyzzyxyzzy --run new"),
    usage(train!("--set train.stesp=5")),
    usage(train!("--set trian.steps=5")),
    usage(train!("--set train.steps")),
    usage(train!("--set =5")),
    usage(train!("--set seed.x=5")),
    usage(train!("--set model.embedding.kind=sinusoidal")),
    usage(train!("--set schedule.kind=lineal")),
    usage(train!("--set schedule.s=0.008")),
    usage(train!("--set model.embedding.kind=transformer")),
    usage(train!("--set model.channel_mults=4")),
    usage("train --config missing.toml --run new"),
    usage("train --config bad.toml --run new"),
    usage("train --config unknown-key.toml --run new"),
    // Numbers that make no sense.
    usage(train!("--set train.steps=0")),
    usage(train!("--set train.steps=-5")),
    usage(train!("--set train.steps=many")),
    usage(train!("--set train.batch=0")),
    usage(train!("--set train.batch=99999999")),
    usage(train!("--set train.lr=nan")),
    usage(train!("--set train.lr=0")),
    usage(train!("--set train.lr=-1e-3")),
    usage(train!("--set train.lr=inf")),
    usage(train!("--set train.ema_decay=1.0")),
    usage(train!("--set train.grad_clip=0.0")),
    usage(train!("--set train.keep_checkpoints=1")),
    usage(train!("--set train.checkpoint_every=0")),
    usage(train!("--set schedule.steps=1")),
    usage(train!("--set schedule.steps=0")),
    usage(train!("--set schedule.beta_start=0.0")),
    usage(train!("--set schedule.beta_end=1.5")),
    usage(train!("--set schedule.beta_end=nan")),
    usage(train!("--set model.groups=5")),
    usage(train!("--set model.groups=0")),
    usage(train!("--set model.heads=7")),
    usage(train!("--set model.base_channels=0")),
    usage(train!("--set model.base_channels=10")),
    usage(train!("--set model.channel_mults=[]")),
    usage(train!("--set model.channel_mults=[1,0]")),
    usage(train!("--set model.attention_resolutions=[7]")),
    usage(train!("--set model.dropout=1.0")),
    usage(train!("--set model.dropout=nan")),
    usage(train!("--set model.image_size=15")),
    usage(train!("--set model.in_channels=3")),
    usage(train!("--set model.embedding.frequencies=0")),
    usage(train!("--set model.classes=5")),
    usage(train!("--set model.classes=-1")),
    usage(train!("--set model.classes=99999999")),
    usage(train!("--data flat --set model.classes=10")),
    usage(train!("--data flat --set train.label_dropout=0.1")),
    usage(train!("--set train.label_dropout=0.1")),
    usage(train!("--set model.classes=10 --set train.label_dropout=1.5")),
    usage(train!("--set model.classes=10 --set train.label_dropout=nan")),
    usage(train!("--set sample.count=0")),
    usage(train!("--set sample.steps=1001")),
    usage(train!("--set sample.sampler=eular")),
    usage(train!("--set precision=f16")),
    usage(train!("--set data.size=0")),
    usage(train!("--set data.size=5000")),
    usage(train!("--set data.channels=2")),
    usage(train!("--set data.limit=0")),
    usage(train!("--set data.fit=squash")),
    usage(train!("--set data.on_bad=ignore")),
    usage("train --preset tiny-16 --run new --threads 0"),
    usage("train --preset tiny-16 --run new --device tpu"),
    usage("train --preset tiny-16 --run new --device cuda:x"),
    // Data.
    usage(train!("--data nowhere")),
    usage(train!("--data fashion-minst")),
    usage(train!("--data text.txt")),
    usage(train!("--data empty.bin")),
    usage(train!("--data one.png")),
    failure(train!("--data empty-folder")),
    failure(train!("--data only-text")),
    failure(train!("--data unreadable")),
    usage("train --preset images --run new --data mixed"),
    usage(train!("--data magic-idx3-ubyte")),
    failure(train!("--data short-idx3-ubyte")),
    failure(train!("--data lying-idx3-ubyte")),
    failure(train!("--data cut-idx3-ubyte.gz")),
    failure(train!("--data bomb-idx3-ubyte.gz")),
    failure(train!("--data labels/train-images-idx3-ubyte")),
    failure(train!("--data short.npy")),
    failure(train!("--data lying.npy")),
    failure(train!("--data objects.npy")),
    failure(train!("--data flat.npy")),
    failure(train!("--data wide.npy")),
    failure(train!("--data cut.npz")),
    failure(train!("--data other-names.npz")),
    failure(train!("--data labels.bin")),
    usage("train --run new --preset ddpm-cifar10"),
    // Runs.
    usage("train --run run --config run/config.toml --set train.lr=0.5 --set data.limit=30"),
    usage("train --resume --run empty-folder"),
    usage("train --resume --run run --preset tiny-16"),
    usage("train --resume --run run --set model.heads=2"),
    usage("train --resume --run run --set train.lr=nan"),
    usage("train --preset tiny-16 --run one.png"),
    usage("sample --run nowhere --out out"),
    usage("sample --run empty-folder --out out"),
    failure("sample --run hurt --out out"),
    usage("sample --model empty-folder --out out"),
    usage("sample --run run --model run --out out"),
    failure("sample --model hurt/checkpoints/step-00000006 --out out"),
    failure("sample --out out"),
    usage("figures --run nowhere --out out"),
    usage("figures --run run --only 12 --out out"),
    usage("figures --run run --only 3-1 --out out"),
    usage("figures --run run --only x --out out"),
    usage("figures --run run --samples 0 --out out"),
    failure("figures --only 7 --out out"),
    // Sampling.
    usage(sample!("--count 0")),
    usage(sample!("--count -1")),
    usage(sample!("--count many")),
    usage(sample!("--batch 0")),
    usage(sample!("--steps 0")),
    usage(sample!("--steps 1001")),
    usage(sample!("--sampler eular")),
    usage(sample!("--sampler ddim --eta 1.5")),
    usage(sample!("--sampler ddim --eta nan")),
    usage(sample!("--sampler ddim --sigma fixed-large")),
    usage(sample!("--eta 0.5")),
    usage(sample!("--sigma large")),
    usage(sample!("--spacing quadrtic --steps 5")),
    usage(sample!("--save gif")),
    usage(sample!("--weights best")),
    usage(sample!("--precision f64")),
    usage(sample!("--seed -1")),
    usage(sample!("--init-noise x-8.npy")),
    usage(sample!("--init-noise x-nan.npy")),
    failure(sample!("--init-noise nowhere.npy")),
    failure(sample!("--init-noise one.png")),
    usage("sample --run run --count 1 --steps 1 --out one.png"),
    // Classes.
    usage(sample!("--class 3")),
    usage(sample!("--guidance 2")),
    usage(sample!("--guidance-interval 0.2,0.8")),
    usage(sample!("--guidance-rescale 0.7")),
    usage(classes!("--class 10")),
    usage(classes!("--class -1")),
    usage(classes!("--class sneakr")),
    usage(classes!("--class 3,,4")),
    usage(classes!("--class 3 --guidance -1")),
    usage(classes!("--class 3 --guidance nan")),
    usage(classes!("--class 3 --guidance much")),
    usage(classes!("--class 3 --guidance-interval 0.5")),
    usage(classes!("--class 3 --guidance-interval 0.8,0.2")),
    usage(classes!("--class 3 --guidance-interval 0,1.5")),
    usage(classes!("--class 3 --guidance-rescale 1.5")),
    usage(classes!("--guidance 3")),
    usage("sample --run labels-only --out out"),
    usage("sample --run labels-only --out out --class 3 --guidance 3"),
    usage("train --resume --run labels-only --set model.classes=0"),
    // Variations.
    usage("edit vary --run run --t-start 10 --out out"),
    usage("edit vary --run run --image one.png --out out"),
    usage("edit vary --run run --image one.png --t-start 0 --out out"),
    usage("edit vary --run run --image one.png --t-start 1001 --out out"),
    usage("edit vary --run run --image one.png --t-start 10,x --out out"),
    usage("edit vary --run run --image one.png --t-start 10 --count 0 --out out"),
    usage("edit vary --run run --index 40 --t-start 10 --out out"),
    failure("edit vary --run run --image nowhere.png --t-start 10 --out out"),
    failure("edit vary --run run --image text.txt --t-start 10 --out out"),
    failure("edit vary --run run --image cut.png --t-start 10 --out out"),
    usage("edit inpaint --image one.png"),
    // Arrays for the network.
    failure("predict --run run --x nowhere.npy --t t.npy --out eps.npy"),
    usage("predict --run run --x x-8.npy --t t-two.npy --out eps.npy"),
    usage("predict --run run --x x-16.npy --t t-1000.npy --out eps.npy"),
    usage("predict --run run --x x-16.npy --t t-two.npy --out eps.npy"),
    usage("predict --run run --x x-colour.npy --t t.npy --out eps.npy"),
    usage("predict --run run --x flat.npy --t t.npy --out eps.npy"),
    failure("predict --run run --x x-16.npy --t t.npy --out nowhere/eps.npy"),
    usage("predict --run run --x x-16.npy --t t.npy --class class.npy --out eps.npy"),
    usage("predict --run classes --x x-16.npy --t t.npy --class class-two.npy --out eps.npy"),
    usage("predict --run classes --x x-16.npy --t t.npy --class class-10.npy --out eps.npy"),
    failure("predict --run classes --x x-16.npy --t t.npy --class class-half.npy --out eps.npy"),
    failure("predict --run classes --x x-16.npy --t t.npy --class nowhere.npy --out eps.npy"),
    // Inspection and bench.
    usage("inspect schedule --kind lineal"),
    usage("inspect schedule --steps 1"),
    usage("inspect schedule --kind cosine --beta-start 0.1"),
    usage("inspect schedule --respace 1001"),
    failure("inspect schedule --out nowhere/s.npz"),
    usage("inspect embedding --frequencies 0"),
    usage("inspect embedding --steps 1"),
    usage("inspect embedding --t 1000 --steps 1000"),
    usage("inspect embedding --t -1"),
    usage("inspect embedding --kind transformer --dim 7"),
    usage("inspect model --preset ddpm-cifar"),
    usage("inspect model"),
    usage("inspect checkpoint nowhere"),
    failure("inspect checkpoint one.png"),
    failure("inspect checkpoint lying.safetensors"),
    usage("inspect data --data nowhere"),
    usage("bench train --preset tiny-16 --steps 0"),
    usage("bench train --preset tiny-16 --batch 0"),
    usage("bench sample --preset nope"),
    usage("completions tcsh"),
];
