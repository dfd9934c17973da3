//! diffusers configurations.

use super::{Seeds, named};

const NETWORK: &str = r#"{"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": null,
"block_out_channels": [8, 16], "center_input_sample": false, "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
"downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "in_channels": 1, "layers_per_block": 1,
"mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 4, "out_channels": 1, "sample_size": 8,
"time_embedding_type": "positional", "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}"#;

pub(crate) fn diffusers() -> Seeds {
    let changed = |from: &str, to: &str| format!("0{}", NETWORK.replace(from, to));
    let texts = [
        ("network", format!("0{NETWORK}")),
        ("network-rectangle", changed("\"sample_size\": 8", "\"sample_size\": [16, 8.0]")),
        ("network-uneven", changed("[8, 16]", "[16, 24]")),
        ("network-no-middle", changed("\"mid_block_scale_factor\": 1", "\"mid_block_type\": null")),
        ("network-defaults", "0{\"sample_size\": 32}".to_owned()),
        ("network-huge", changed("[8, 16]", "[8, 18446744073709551615]")),
        ("network-negative", changed("\"in_channels\": 1", "\"in_channels\": -1e300")),
        ("network-unknown", changed("\"act_fn\"", "\"cross_attention_dim\": 768, \"act_fn\"")),
        ("network-nested", format!("0{{\"sample_size\": {}1{}}}", "[".repeat(60), "]".repeat(60))),
        ("scheduler", "1{\"_class_name\": \"DDPMScheduler\", \"variance_type\": \"fixed_large\"}".to_owned()),
        (
            "scheduler-infinity",
            "1{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": -Infinity, \"a\\\"NaN\": NaN}".to_owned(),
        ),
        ("scheduler-cosine", "1{\"beta_schedule\": \"squaredcos_cap_v2\", \"num_train_timesteps\": 10}".to_owned()),
        ("scheduler-betas", "1{\"beta_start\": -1, \"beta_end\": 1e999}".to_owned()),
        ("shards", "2{\"metadata\": {}, \"weight_map\": {\"a\": \"x-1.safetensors\", \"b\": \"x-2.safetensors\"}}".to_owned()),
        ("shards-above", "2{\"weight_map\": {\"a\": \"../x.safetensors\"}}".to_owned()),
        ("shards-list", "2{\"weight_map\": [1]}".to_owned()),
        ("no-json", "0{\"a\": }".to_owned()),
        ("list", "1[]".to_owned()),
    ];
    named(texts)
}
