//! The keys of `[train]`.

use super::key::Key;
use super::key::Kind::{List, Number, Switch, Text, Whole, Word};

pub(super) const TRAIN: &[Key] = &[
    Key::new("steps", Whole, "at least 1", "Optimiser steps of the whole run"),
    Key::new("batch", Whole, "1 to 1048576", "Images per step"),
    Key::new(
        "micro_batch",
        Whole,
        "at most train.batch, or 0 for the whole batch",
        "Images that pass through the network at once, to save memory",
    )
    .or("0")
    .more("The gradients of the parts are summed. --batch auto chooses it."),
    Key::new(
        "checkpoint_activations",
        Switch,
        "",
        "Recompute activations in the backward pass: less memory, a third more work",
    )
    .or("false"),
    Key::new("lr", Number, "above 0, at most 1", "Learning rate after the warm-up"),
    Key::new("warmup_steps", Whole, "", "Steps over which the learning rate rises linearly from nearly 0"),
    Key::new(
        "lr_decay",
        Word(&[
            ("constant", "it stays constant (the paper)"),
            ("cosine", "it falls to 0 at the last step along half a cosine"),
            ("inverse-sqrt", "it falls as 1 / sqrt(step) from lr_decay_steps on (Karras et al. 2024)"),
        ]),
        "",
        "What the learning rate does after the warm-up",
    ),
    Key::new("lr_decay_steps", Whole, "at least 1", "Steps before the rate of inverse-sqrt starts to fall")
        .or("a tenth of train.steps with lr_decay = inverse-sqrt"),
    Key::new(
        "optimizer",
        Word(&[
            ("adam", "Adam (Kingma & Ba 2015; the paper)"),
            ("muon", "Muon (Jordan et al. 2024) for matrices inside the network, Adam for the rest"),
        ]),
        "",
        "How the weights follow the gradients",
    )
    .or("adam")
    .more("Convolutions count as matrices. The same learning rate suits both."),
    Key::new("beta1", Number, "in [0, 1)", "Decay of Adam's first moment"),
    Key::new("beta2", Number, "in [0, 1)", "Decay of Adam's second moment"),
    Key::new("adam_eps", Number, "in (0, 1)", "Added to the root of Adam's second moment"),
    Key::new("weight_decay", Number, "from 0 to 1", "Decoupled weight decay (AdamW); 0 gives Adam"),
    Key::new("grad_clip", Number, "above 0", "Maximum gradient norm; larger gradients are scaled down to it"),
    Key::new("ema_decay", Number, "in [0, 1)", "Decay of the exponential moving average of the weights"),
    Key::new("ema_warmup", Switch, "", "Whether the average starts short and grows"),
    Key::new(
        "ema_decays",
        List(&Number),
        "at most 8 different numbers in [0, 1)",
        "Decays of further averages, kept in every checkpoint",
    )
    .or("none"),
    Key::new(
        "ema_sigma_rels",
        List(&Number),
        "at most 8 different numbers from 0.01 to 0.28",
        "Power averages, by their deviation relative to the training time (Karras et al. 2024)",
    )
    .or("none")
    .more("`ddpm ema` makes any other average from them afterwards; [0.05, 0.1] suits it."),
    Key::new(
        "prediction",
        Word(&[
            ("eps", "the noise (the paper)"),
            ("x_0", "the image"),
            ("v", "alpha eps - sigma x_0, normalised (Salimans & Ho 2022)"),
            ("edm", "a mixture with unit variance at every level (Karras et al. 2022)"),
            ("velocity", "eps - x_0: flow matching (Lipman et al. 2023)"),
        ]),
        "",
        "What the network predicts",
    )
    .more("The loss is weighted as that of eps, unless loss_weight = output."),
    Key::new(
        "loss_weight",
        Word(&[
            ("simple", "equal weights on the error of eps (the paper)"),
            ("min-snr", "the error of x_0 times the signal-to-noise ratio, up to 5 (Hang et al. 2023)"),
            ("p2", "more weight on levels with much noise (Choi et al. 2022)"),
            ("output", "equal weights on the error of the output itself"),
            ("edm", "lambda of Karras et al. 2022"),
        ]),
        "",
        "How noise levels are weighted in the loss",
    )
    .or("simple"),
    Key::new(
        "sigma_data",
        Number,
        "from 0.01 to 100",
        "Standard deviation of the images' values in [-1, 1], for edm",
    )
    .or("0.5 with prediction or loss_weight = edm"),
    Key::new(
        "loss",
        Word(&[
            ("squared", "the squared error"),
            ("huber", "squared up to huber_delta, linear above it"),
            ("vlb", "the variational bound, for learned variances (Ho et al. 2020, Eq. 5)"),
            ("consistency", "the distance of predictions from two levels of one noise (Geng et al. 2024)"),
        ]),
        "",
        "How an error is measured",
    )
    .or("squared"),
    Key::new(
        "huber_delta",
        Number,
        "from 0.0001 to 10000",
        "Errors above this count linearly in the huber loss",
    )
    .or("1 with loss = huber"),
    Key::new(
        "halvings",
        Whole,
        "1 to 16",
        "How often consistency halves the distance of its two levels over the run",
    )
    .or("8 with loss = consistency"),
    Key::new(
        "variance",
        Word(&[
            ("fixed", "fixed, and chosen at sampling (the paper)"),
            ("learned", "predicted, with twice the output channels (Nichol & Dhariwal 2021)"),
        ]),
        "",
        "The variance of the reverse steps",
    )
    .or("fixed"),
    Key::new("vlb_weight", Number, "from 1e-9 to 1000", "Weight of the variational bound added to the loss")
        .or("0.001 with variance = learned"),
    Key::new(
        "time_sampling",
        Word(&[
            ("uniform", "independent and uniform in time (Algorithm 1)"),
            ("stratified", "uniform, one from each of batch equal parts of the path"),
            ("log-normal", "ln(sigma / alpha) is normal (Karras et al. 2022)"),
            (
                "logit-normal",
                "the logistic function of a normal number: favours the middle (Esser et al. 2024)",
            ),
            ("by-loss", "in proportion to the recent loss of each level (Nichol & Dhariwal 2021)"),
        ]),
        "",
        "How the noise levels of a batch are drawn",
    ),
    Key::new("time_mean", Number, "from -20 to 20", "Mean of log-normal and logit-normal")
        .or("-1.2 of log-normal (-1.1 with loss = consistency), 0 of logit-normal"),
    Key::new("time_std", Number, "from 0.01 to 10", "Standard deviation of log-normal and logit-normal")
        .or("1.2 of log-normal (2 with loss = consistency), 1 of logit-normal"),
    Key::new(
        "pairing",
        Word(&[
            ("independent", "independent noise for each image"),
            ("optimal", "least total distance of noise and images in a batch (Pooladian et al. 2023)"),
            ("nearest", "the nearest of four draws per image (Li et al. 2024)"),
        ]),
        "",
        "How noise is assigned to images",
    )
    .or("independent"),
    Key::new("flip", Switch, "", "Mirror half of the images left to right")
        .more("Some presets turn it on for their own images; for other data it is false unless you set it."),
    Key::new("crop", Number, "from 0 to 0.9", "Largest share of its area that a random crop takes from an image")
        .or("0")
        .more("What is left keeps its aspect ratio and is enlarged. For photos whose subject is not always in one place."),
    Key::new("jitter", Number, "from 0 to 1", "Strength of random changes of brightness, contrast and saturation")
        .or("0")
        .more("Each is multiplied by a factor between 1 - jitter and 1 + jitter; samples vary in the same way."),
    Key::new(
        "augment",
        Number,
        "from 0 to 1",
        "Probability of each way of augmenting an image; 0 disables it",
    )
    .or("0")
    .more("Mirroring, rotating and shifting, for small datasets (Karras et al. 2022, App. F.2, use 0.12)."),
    Key::new("label_dropout", Number, "from 0 to 1", "Share of labels dropped in training")
        .or("0")
        .more("Sampling without a class and guidance need a value above 0, such as 0.1."),
    Key::new(
        "freeze",
        List(&Text),
        "at most 32 patterns of parameter names",
        "Names of parameters that training does not change, such as `down_blocks.*`",
    )
    .or("none")
    .more("`*` stands for any characters."),
    Key::new(
        "on_nan",
        Word(&[
            ("stop", "stop the run"),
            ("skip", "skip the step; stop after ten in a row"),
            (
                "rollback",
                "return to the last checkpoint, halve the rate, skip the step; stop after five times",
            ),
        ]),
        "",
        "What to do about a step whose loss or gradients are not finite",
    )
    .or("stop"),
    Key::new("log_every", Whole, "at least 1", "Steps between lines of metrics.jsonl"),
    Key::new("sample_every", Whole, "", "Steps between sample grids; 0 for only the last"),
    Key::new(
        "evaluate_every",
        Whole,
        "",
        "Steps between evaluations, which also find the best checkpoint; 0 for none",
    )
    .or("0"),
    Key::new("evaluate_count", Whole, "20 to 100000", "Samples per evaluation").or("1000 per evaluation"),
    Key::new(
        "checkpoint_every",
        Whole,
        "at least 1",
        "Steps between checkpoints; the last step always gets one",
    ),
    Key::new(
        "keep_checkpoints",
        Whole,
        "at least 2, since one may be damaged",
        "Number of checkpoints to keep; older ones are removed",
    ),
];
