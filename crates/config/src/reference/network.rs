//! The keys of the network.

use super::key::Kind::{List, Number, Switch, Whole, Word};
use super::key::{Choice, Key};

pub(super) const MODEL: &[Key] = &[
    Key::new("kind", Word(&[("unet", "the U-Net")]), "", "Which network it is").or("unet"),
    Key::new(
        "image_size",
        Whole,
        "1 to 65536, a multiple of 2^(levels - 1)",
        "Height and width in pixels, border included",
    )
    .or("that of the padded images")
    .more("A larger size than that of the images pads them."),
    Key::new("in_channels", Whole, "1 to 65536", "Channels of the images").or("those of the images"),
    Key::new(
        "out_channels",
        Whole,
        "in_channels, or twice that with train.variance = learned",
        "Channels of the output",
    )
    .or("as train.variance needs"),
    Key::new("base_channels", Whole, "1 to 65536", "Channels of the first feature map")
        .more("A multiple of model.groups."),
    Key::new(
        "channel_mults",
        List(&Whole),
        "1 to 8 numbers",
        "Channels of each level, as multiples of base_channels",
    )
    .or("as many levels as halve the image to 8 pixels or less, at most 5: [1, 2, ...]")
    .more("There are as many levels as numbers; each level halves the size."),
    Key::new(
        "blocks_per_level",
        Whole,
        "1 to 64",
        "Residual blocks of each encoder level; a decoder level has one more",
    ),
    Key::new(
        "attention_resolutions",
        List(&Whole),
        "sizes of levels",
        "Sizes in pixels of the levels with self-attention after each block",
    )
    .or("the size of the lowest level"),
    Key::new("mid_attention", Switch, "", "Self-attention between the two blocks of the middle"),
    Key::new("heads", Whole, "1 to 65536", "Attention heads")
        .more("A divisor of the channels of every level with attention."),
    Key::new("groups", Whole, "1 to 65536", "Groups of the group normalisation")
        .more("A divisor of the channels of every level."),
    Key::new("norm_eps", Number, "in (0, 1)", "Added to the variance in group normalisation"),
    Key::new(
        "dropout",
        Number,
        "in [0, 1)",
        "Probability that a channel entry of a block is zeroed in training",
    ),
    Key::new(
        "time_channels",
        Whole,
        "1 to 65536, or 0 for 4 times base_channels",
        "Width of the time vector after its two linear layers",
    )
    .or("4 times base_channels"),
    Key::new(
        "time_injection",
        Word(&[
            ("input", "it is added to the first feature map only; enough for a small network"),
            ("per-block", "it is added to every residual block (the paper)"),
        ]),
        "",
        "Where the time enters the network",
    ),
    Key::new(
        "time_form",
        Word(&[
            ("additive", "it is added after the first convolution (Ho et al. 2020)"),
            ("scale-shift", "it scales and shifts the second normalisation (Dhariwal & Nichol 2021)"),
        ]),
        "",
        "How the time enters a residual block",
    ),
    Key::new(
        "downsample_padding",
        Word(&[
            ("bottom-right", "one pixel at the bottom and the right, as in Ho et al.'s code"),
            ("even", "one pixel on all four sides"),
        ]),
        "",
        "Where the padding of the downsampling convolutions goes",
    ),
    Key::new("classes", Whole, "1 to 1048576, or 0 for none", "Number of classes of a conditional network")
        .or("none: labels are not used")
        .more("At least as many as the data has."),
    Key::new(
        "adapter_rank",
        Whole,
        "1 to 1024",
        "Rank of low-rank adapters, which are trained instead of the rest (LoRA: Hu et al. 2022)",
    )
    .or("none: the whole network is trained")
    .more("Needs --init-from."),
    Key::new(
        "augmented",
        Switch,
        "",
        "Condition the network on how its images are augmented; follows from train.augment",
    )
    .or("false"),
];

pub(super) const EMBEDDING: &[Key] = &[
    Key::new(
        "kind",
        Word(&[
            ("normalized", "sinusoids of t / T, from 1 cycle up to T / 2, geometrically spaced"),
            ("transformer", "the transformer's position encoding (Ho et al. 2020)"),
            ("fourier", "random frequencies of t / T (Gaussian Fourier features)"),
            ("table", "a learned row for each t, in networks from other programs"),
        ]),
        "",
        "How t becomes a vector",
    )
    .more("Another kind replaces the whole group, so set all its keys together."),
    Key::new(
        "frequencies",
        Whole,
        "1 to 32768",
        "Frequencies of normalized and fourier, two dimensions each",
    )
    .or("required with kind = normalized or fourier"),
    Key::new("dim", Whole, "4 to 65536, even; of table 1 to 65536", "Dimensions of transformer and table")
        .or("base_channels; required with kind = table"),
    Key::new(
        "order",
        Word(&[
            ("sin-first", "[sin, cos], as in Ho et al. 2020"),
            ("cos-first", "[cos, sin], as in many latent models"),
        ]),
        "",
        "Which half of transformer comes first",
    )
    .or("required with kind = transformer"),
    Key::new(
        "freq_shift",
        Whole,
        "0 to 1",
        "Of transformer: subtracted from the frequencies in the exponent's divisor",
    )
    .or("required with kind = transformer")
    .more("It is 1 in Ho et al.'s code and 0 in the transformer paper."),
    Key::new(
        "scale",
        Number,
        "above 0",
        "Standard deviation of the frequencies of fourier, in cycles over T",
    )
    .or("required with kind = fourier"),
    Key::new("seed", Whole, "", "Seed of the frequencies of fourier").or("required with kind = fourier"),
    Key::new("rows", Whole, "equal to schedule.steps", "Rows of table: T").or("required with kind = table"),
];

const RESAMPLING: &[Choice] = &[
    ("conv", "a convolution: with stride 2, or after repeating pixels"),
    ("resnet", "a residual block that averages 2x2 pixels or repeats pixels"),
    ("plain", "average 2x2 pixels, or repeat pixels"),
];

pub(super) const LAYOUT: &[Key] = &[
    Key::new(
        "level_channels",
        List(&Whole),
        "1 to 8 numbers",
        "Channels of each level, if they are not multiples of base_channels",
    )
    .or("from channel_mults")
    .more("Then model.channel_mults is []."),
    Key::new(
        "down_attention",
        List(&Switch),
        "one value per level",
        "Whether each encoder level has attention",
    )
    .or("from attention_resolutions")
    .more("If up_attention is set as well, model.attention_resolutions is []."),
    Key::new(
        "up_attention",
        List(&Switch),
        "one value per level",
        "Whether each decoder level has attention",
    )
    .or("from attention_resolutions"),
    Key::new(
        "head_channels",
        Whole,
        "a divisor of the channels of every level with attention",
        "Channels per attention head; replaces heads",
    )
    .or("from heads"),
    Key::new(
        "downsampling",
        List(&Word(RESAMPLING)),
        "",
        "How each encoder level but the lowest halves the resolution",
    )
    .or("all conv")
    .more("One value per level."),
    Key::new(
        "upsampling",
        List(&Word(RESAMPLING)),
        "",
        "How each decoder level but the highest doubles the resolution",
    )
    .or("all conv")
    .more("One value per level."),
    Key::new(
        "activation",
        Word(&[
            ("silu", "x sigmoid(x)"),
            ("relu", "max(x, 0)"),
            ("gelu", "x Phi(x), with the normal distribution function Phi"),
            ("mish", "x tanh(ln(1 + e^x))"),
        ]),
        "",
        "Activation function of the blocks",
    )
    .or("silu"),
    Key::new("center_input", Switch, "", "Images are expected in [0, 1] and mapped to [-1, 1]").or("false"),
];

pub(super) const MIDDLE: &[Key] = &[
    Key::new("absent", Switch, "", "There is no middle: the decoder starts where the encoder ends")
        .or("false"),
    Key::new(
        "attention_groups",
        Whole,
        "0 for no normalisation, or a divisor of the lowest level's channels",
        "Groups of the normalisation before the middle's attention",
    )
    .or("from groups"),
    Key::new("scale", Number, "above 0", "Divisor of the sum of a branch and its skip path")
        .or("1, without a division"),
];
