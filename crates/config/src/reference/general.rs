//! The keys outside groups, those of the images and of the noise schedule.

use super::key::Key;
use super::key::Kind::{Number, Switch, Text, Whole, Word};

pub(super) const RUN: &[Key] = &[
    Key::new(
        "seed",
        Whole,
        "0 to 9223372036854775807",
        "Seed of weights, data order, noise levels, noise, dropout and samples",
    ),
    Key::new(
        "precision",
        Word(&[
            ("auto", "bf16 where the hardware has it, else f32"),
            ("f32", "full precision"),
            ("tf32", "f32 with faster, less exact matrix products; GPUs only"),
            ("bf16", "the network computes in bf16; its weights stay f32"),
        ]),
        "",
        "Precision of the network's computations",
    ),
    Key::new("id", Text, "", "Id of the run: a hash of the configuration it started with").recorded(),
];

pub(super) const DATA: &[Key] = &[
    Key::new(
        "source",
        Text,
        "",
        "Images: fashion-mnist (embedded), or a file, folder or archive; --data sets it",
    )
    .more("A part of a dataset is named behind a colon, such as photos:test."),
    Key::new(
        "size",
        Whole,
        "1 to 4096, or width x height such as \"96x64\"",
        "Size in pixels to resize the images to",
    )
    .or("none: all images have one size"),
    Key::new("channels", Whole, "1 (grey) or 3 (colour)", "Channels to convert the images to")
        .or("those of the images"),
    Key::new(
        "fit",
        Word(&[
            ("crop", "take the centre square"),
            ("stretch", "scale height and width independently"),
            ("pad", "add a border"),
        ]),
        "",
        "How images of other aspect ratios become square",
    )
    .more("Only with data.size."),
    Key::new("pad_to_multiple", Whole, "1 to 1024", "Pad height and width with zeros to multiples of this")
        .or("what the network needs"),
    Key::new("limit", Whole, "at least 1", "Train on only this many images").or("all images"),
    Key::new(
        "on_bad",
        Word(&[("fail", "stop, after checking all images"), ("skip", "leave them out")]),
        "",
        "What to do about images that cannot be read",
    ),
    Key::new(
        "unpacked_limit",
        Whole,
        "1 to 16384 MiB",
        "MiB that one array or image of a compressed file may unpack to",
    )
    .or("16, or 200 times its compressed size if that is more"),
    Key::new(
        "memory",
        Whole,
        "1 to 16777216 MiB",
        "MiB of decoded images to keep; larger sets are decoded as they are needed",
    )
    .or("half of the available memory"),
    Key::new(
        "order",
        Word(&[
            ("images", "random; the images of a batch are far apart"),
            ("blocks", "random within groups of blocks of neighbouring images; for slow disks"),
        ]),
        "",
        "Order of the images in an epoch",
    )
    .or("images"),
    Key::new("shuffle_buffer", Whole, "1 to 10000000", "Images in a group of blocks")
        .or("10000 with order = blocks")
        .more("Only with data.order = blocks."),
];

pub(super) const SCHEDULE: &[Key] = &[
    Key::new(
        "kind",
        Word(&[
            ("linear", "a chain whose betas rise linearly (Ho et al. 2020)"),
            ("scaled-linear", "a chain whose betas have linearly rising square roots (Rombach et al. 2022)"),
            ("cosine", "a chain whose alpha_bar follows a squared cosine (Nichol & Dhariwal 2021)"),
            ("sigmoid", "a chain whose betas follow a sigmoid"),
            ("constant", "a chain with the same beta at every t"),
            ("cosine-continuous", "alpha is a cosine and sigma a sine of the time (Salimans & Ho 2022)"),
            ("edm", "alpha is 1, and ln sigma rises evenly (Karras et al. 2022)"),
            ("straight", "straight paths from image to noise: flow matching (Lipman et al. 2023)"),
        ]),
        "",
        "The path from data to noise",
    )
    .more("Another kind brings its own parameters; only schedule.steps stays."),
    Key::new("steps", Whole, "2 to 1000000", "T: steps of a chain, or units of time of a continuous path"),
    Key::new("beta_start", Number, "in (0, 1)", "First beta of linear, scaled-linear and sigmoid")
        .or("1e-4, scaled-linear 0.00085; scaled with T"),
    Key::new("beta_end", Number, "in (0, 1)", "Last beta of linear, scaled-linear and sigmoid")
        .or("0.02, scaled-linear 0.012; scaled with T"),
    Key::new("beta", Number, "in (0, 1)", "The beta of constant").or("0.01, scaled with T"),
    Key::new("s", Number, "in [0, 1)", "Offset of cosine").or("0.008 with kind = cosine"),
    Key::new("max_beta", Number, "in (0, 1)", "Largest beta of cosine").or("0.999 with kind = cosine"),
    Key::new("sigma_min", Number, "above 1e-6, at most 1e6", "Smallest sigma of edm, at t = 0")
        .or("0.002 with kind = edm"),
    Key::new("sigma_max", Number, "above sigma_min, at most 1e6", "Largest sigma of edm, at t = T - 1")
        .or("80 with kind = edm"),
    Key::new(
        "zero_terminal_snr",
        Switch,
        "",
        "Rescale the betas so that the last step of a chain has no signal",
    )
    .or("false")
    .more("For networks that predict v or x_0 (Lin et al. 2024, Sec. 3.1)."),
];
