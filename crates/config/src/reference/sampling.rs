//! The keys of the sample grids, and those that the program records.

use super::key::Key;
use super::key::Kind::{List, Number, Switch, Text, Whole, Word};

pub(super) const SAMPLE: &[Key] = &[
    Key::new("count", Whole, "1 to 4096", "Images per grid"),
    Key::new("sampler", Text, "a solver of `ddpm sample --sampler`", "Solver"),
    Key::new("steps", Whole, "1 to schedule.steps", "Sampling steps")
        .more("A preset's number is reduced to the length of a shorter chain."),
];

pub(super) const PREFERRED: &[Key] = &[
    Key::new("sampler", Text, "a solver of `ddpm sample --sampler`", "Solver").or("required in this table"),
    Key::new("steps", Whole, "1 to schedule.steps", "Sampling steps").or("required in this table"),
    Key::new(
        "spacing",
        Word(&[
            ("leading", "multiples of the stride, from t = 0"),
            ("trailing", "steps back from t = T - 1"),
            ("linspace", "evenly spaced, with both ends"),
            ("quadratic", "denser at low noise"),
        ]),
        "",
        "Which t are visited",
    )
    .or("required in this table"),
    Key::new(
        "warp",
        Word(&[
            ("karras", "even in sigma^(1/7)"),
            ("exponential", "even in ln sigma"),
            ("lu", "even in the log of the signal-to-noise ratio"),
        ]),
        "",
        "Levels evenly spaced in a function of the noise, instead of in t",
    )
    .or("required in this table"),
    Key::new("steps_offset", Whole, "", "Added to every t").or("0"),
    Key::new("ends_at_first_step", Switch, "", "End at the noise level of t = 0 rather than at the image")
        .or("false"),
    Key::new(
        "threshold",
        Word(&[
            ("off", "leave them"),
            ("clip", "clip them to [-1, 1]"),
            ("dynamic", "scale by a percentile (Saharia et al. 2022)"),
        ]),
        "",
        "What happens to predicted images outside [-1, 1]",
    )
    .or("required in this table"),
    Key::new("keeps_eps", Switch, "", "A step keeps the network's eps when the predicted image is clipped")
        .or("false"),
    Key::new("scales_start", Switch, "", "x_T has the deviation of its noise level rather than 1")
        .or("false"),
    Key::new(
        "sigma",
        Word(&[("fixed-small", "the variance of the posterior"), ("fixed-large", "beta")]),
        "",
        "Variance of the noise of ddpm",
    )
    .or("that of the solver"),
    Key::new("eta", Number, "from 0 to 1", "Noise of ddim and euler-ancestral").or("that of the solver"),
    Key::new("order", Whole, "at least 1", "Order of unipc and deis").or("that of the solver"),
];

pub(super) const IMAGES: &[Key] = &[
    Key::new("height", Whole, "", "Height for the network, border included").recorded(),
    Key::new("width", Whole, "", "Width for the network, border included").recorded(),
    Key::new("channels", Whole, "", "1 for grey, 3 for colour").recorded(),
    Key::new("padding", List(&Whole), "four numbers", "Border of zeros: top, bottom, left, right").recorded(),
    Key::new("count", Whole, "", "Number of images").recorded(),
    Key::new("sha256", Text, "", "SHA-256 over sizes, pixels and labels; index: over an index").recorded(),
    Key::new("class_names", List(&Text), "", "Class names in label order").recorded(),
    Key::new("absent_classes", List(&Whole), "", "Classes that no image has").recorded(),
];

pub(super) const INIT: &[Key] = &[
    Key::new("from", Text, "", "Where the weights were").recorded(),
    Key::new("sha256", Text, "", "SHA-256 over names, shapes and values of the weights").recorded(),
];
