//! Folders of every layout, and refusals: each in one line that names the file, the key and its value.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use interchange::diffusers::{Model, current_name, is_model, open};
use serde_json::{Value, json};

/// A configuration with 4,000 parameters, in the keys of 2022.
fn unet() -> Value {
    json!({
        "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": null,
        "block_out_channels": [4, 8], "center_input_sample": false, "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "downsample_padding": 0, "flip_sin_to_cos": false, "freq_shift": 1, "in_channels": 1, "layers_per_block": 1,
        "mid_block_scale_factor": 1, "norm_eps": 1e-06, "norm_num_groups": 2, "out_channels": 1, "sample_size": 8,
        "time_embedding_type": "positional", "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    })
}

fn ddpm() -> Value {
    json!({ "_class_name": "DDPMScheduler", "_diffusers_version": "0.0.4", "beta_end": 0.02, "beta_schedule": "linear",
            "beta_start": 0.0001, "clip_sample": true, "num_train_timesteps": 1000, "trained_betas": null,
            "variance_type": "fixed_large" })
}

/// Writes a safetensors file of zeros.
fn tensors(path: &Path, of: &[(String, Vec<usize>)]) {
    let (mut header, mut end) = (BTreeMap::new(), 0);
    for (name, shape) in of {
        let bytes = 4 * shape.iter().product::<usize>();
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [end, end + bytes] }));
        end += bytes;
    }
    let header = serde_json::to_string(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), &vec![0; end]].concat()).unwrap();
}

/// The tensors of [`unet`], with the names of 2022.
fn parameters(folder: &Path) -> Vec<(String, Vec<usize>)> {
    let config = folder.join("only.json");
    fs::write(&config, unet().to_string()).unwrap();
    let network = interchange::diffusers::read_network(&config).unwrap();
    fs::remove_file(config).unwrap();
    let old = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let renamed = |name: String| old.iter().fold(name, |name, (new, old)| name.replace(new, old));
    network.config.parameters().into_iter().map(|(name, shape)| (renamed(name), shape)).collect()
}

/// A folder in the current layout, or with all files at the root.
fn folder(nested: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [home, scheduler] = ["unet", "scheduler"]
        .map(|part| if nested { folder.path().join(part) } else { folder.path().into() });
    fs::create_dir_all(&home).unwrap();
    fs::create_dir_all(&scheduler).unwrap();
    tensors(&home.join("diffusion_pytorch_model.safetensors"), &parameters(folder.path()));
    fs::write(home.join("config.json"), unet().to_string()).unwrap();
    fs::write(scheduler.join("scheduler_config.json"), ddpm().to_string()).unwrap();
    folder
}

fn with(folder: &Path, file: &str, text: impl ToString) -> Result<Model, String> {
    let path = folder.join(file);
    let before = fs::read(&path).ok();
    fs::write(&path, text.to_string()).unwrap();
    let found = open(folder).map_err(|error| error.to_string());
    match before {
        Some(before) => fs::write(path, before).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    found
}

fn changed(mut whole: Value, key: &str, value: Value) -> Value {
    whole[key] = value;
    whole
}

#[test]
fn old_and_new_layouts_give_the_same_model() {
    let (nested, flat) = (folder(true), folder(false));
    assert!(is_model(nested.path()) && is_model(flat.path()));
    let (a, b) = (open(nested.path()).unwrap(), open(flat.path()).unwrap());
    assert_eq!((&a.network, &a.scheduler), (&b.network, &b.scheduler));
    assert_eq!((a.network.height, a.network.config.heads_of(8)), (8, 1));
    assert_eq!(a.scheduler.preferred.sigma.as_deref(), Some("fixed-large"));
    assert_eq!((a.scheduler.preferred.sampler.as_str(), a.scheduler.preferred.steps), ("ddpm", 1000));
    let index = json!({ "_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"] });
    assert!(with(nested.path(), "model_index.json", index).is_ok());
    let other =
        json!({ "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"] });
    let error = with(nested.path(), "model_index.json", other).unwrap_err();
    assert!(error.contains("model_index.json: unet = ") && error.contains("UNet2DConditionModel"), "{error}");
}

#[test]
fn weights_may_be_in_shards() {
    let folder = folder(true);
    let home = folder.path().join("unet");
    let all = parameters(folder.path());
    let (first, second) = all.split_at(all.len() / 2);
    fs::remove_file(home.join("diffusion_pytorch_model.safetensors")).unwrap();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    tensors(&home.join(names[0]), first);
    tensors(&home.join(names[1]), second);
    let map = |name: &str| -> Value {
        let file = |(name, _): &(String, Vec<usize>)| (name.clone(), Value::from(names[0]));
        let mut map: serde_json::Map<String, Value> = first.iter().map(file).collect();
        map.insert(second[0].0.clone(), Value::from(name));
        json!({ "metadata": { "total_size": 1 }, "weight_map": map })
    };
    let index = "unet/diffusion_pytorch_model.safetensors.index.json";
    assert_eq!(with(folder.path(), index, map(names[1])).unwrap().weights.len(), 2);
    for hostile in [
        "../x.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        ".safetensors",
        "x.bin",
        "",
        "..\\x.safetensors",
    ] {
        let error = with(folder.path(), index, map(hostile)).unwrap_err();
        assert!(error.contains("weight_map = ") && error.contains("in the same folder"), "{error}");
    }
    // One shard is missing.
    let error = with(folder.path(), index, map(names[0])).unwrap_err();
    assert!(
        error.contains(&format!(
            "{} is missing",
            current_name(&second.iter().map(|p| p.0.clone()).min().unwrap())
        )) || error.contains("is missing and"),
        "{error}"
    );
}

#[test]
fn unsupported_settings_are_named_with_their_values() {
    let folder = folder(true);
    let network =
        |key: &str, value: Value| with(folder.path(), "unet/config.json", changed(unet(), key, value));
    for (key, value) in [
        ("act_fn", json!("elu")),
        ("attention_head_dim", json!(3)),
        ("attn_norm_num_groups", json!(3)),
        ("block_out_channels", json!([4, -8])),
        ("block_out_channels", json!([4, 1e300])),
        ("block_out_channels", json!([])),
        ("block_out_channels", json!([9_007_199_254_740_993_u64, 8])),
        ("class_embed_type", json!("timestep")),
        ("down_block_types", json!(["DownBlock2D", "SkipDownBlock2D"])),
        ("down_block_types", json!(["DownBlock2D"])),
        ("downsample_padding", json!(2)),
        ("downsample_type", json!("avg")),
        ("freq_shift", json!(0.5)),
        ("in_channels", json!("1")),
        ("layers_per_block", json!(-1)),
        ("mid_block_type", json!("UNetMidBlock2DCrossAttn")),
        ("resnet_time_scale_shift", json!("ada_group")),
        ("sample_size", json!(null)),
        ("sample_size", json!([8, 8, 8])),
        ("time_embedding_type", json!("fourier")),
        ("up_block_types", json!(["AttnUpBlock2D", 7])),
        ("cross_attention_dim", json!(768)),
        ("_class_name", json!("UNet2DConditionModel")),
    ] {
        let error = network(key, value).unwrap_err();
        assert!(error.contains("config.json") && !error.contains('\n'), "{error}");
        let of_list = error.contains("UNet") || error.contains("Skip") || error.contains('7');
        assert!(error.contains(key) || of_list || error.contains("model."), "{key}: {error}");
    }
    let scheduler = |key: &str, value: Value| {
        with(folder.path(), "scheduler/scheduler_config.json", changed(ddpm(), key, value))
    };
    for (key, value) in [
        ("_class_name", json!("ScoreSdeVeScheduler")),
        ("beta_schedule", json!("laplace")),
        ("beta_start", json!("0.1")),
        ("clip_sample_range", json!(2.0)),
        ("prediction_type", json!("flow")),
        ("trained_betas", json!([0.1])),
        ("variance_type", json!("learned")),
        ("timestep_spacing", json!("other")),
        ("skip", json!(true)),
    ] {
        let error = scheduler(key, value.clone()).unwrap_err();
        let named = format!("scheduler_config.json: {key} = {value}");
        assert!(error.contains(&named) && !error.contains('\n'), "{key}: {error}");
    }
    assert!(scheduler("num_train_timesteps", json!(0)).is_err());
    assert!(scheduler("beta_end", json!(2.0)).is_err());
}

#[test]
fn anything_but_a_model_is_refused_in_one_line() {
    let folder = folder(true);
    let deep = "[".repeat(100_000);
    for text in ["", "[]", "7", "{", "{\"a\": }", &deep, "\u{0}"] {
        let error = with(folder.path(), "unet/config.json", text).unwrap_err();
        assert!(error.contains("config.json: ") && error.len() < 300 && !error.contains('\n'), "{error}");
    }
    let huge = " ".repeat((1 << 20) + 1);
    assert!(with(folder.path(), "unet/config.json", huge).unwrap_err().contains("expected at most"));
    let home = folder.path().join("unet");
    let weights = home.join("diffusion_pytorch_model.safetensors");
    let mut wrong = parameters(folder.path());
    wrong[3].1.push(1);
    tensors(&weights, &wrong);
    assert!(open(folder.path()).unwrap_err().to_string().contains(&wrong[3].0));
    wrong.truncate(3);
    tensors(&weights, &wrong);
    assert!(open(folder.path()).unwrap_err().to_string().contains("is missing and"));
    fs::rename(&weights, home.join("diffusion_pytorch_model.bin")).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("is a pickle") && error.contains("python3 -c") && !error.contains('\n'),
        "{error}"
    );
    fs::remove_dir_all(folder.path().join("scheduler")).unwrap();
    assert!(open(folder.path()).unwrap_err().to_string().contains("no scheduler/scheduler_config.json"));
    assert!(!is_model(&folder.path().join("nowhere")));
}

#[test]
fn every_scheduler_gives_its_way_of_sampling() {
    let folder = folder(true);
    let of = |config: &str| {
        let found = with(folder.path(), "scheduler/scheduler_config.json", config).unwrap();
        found.scheduler
    };
    let ddim = of(
        r#"{"_class_name": "DDIMScheduler", "set_alpha_to_one": false, "steps_offset": 1, "clip_sample": false}"#,
    );
    let preferred = &ddim.preferred;
    assert_eq!(
        (preferred.sampler.as_str(), preferred.steps, preferred.spacing.as_str()),
        ("ddim", 50, "leading")
    );
    assert_eq!((preferred.steps_offset, preferred.ends_at_first_step), (1, true));
    assert_eq!((preferred.threshold.as_str(), preferred.eta), ("off", Some(0.0)));
    // Python's minus infinity is not valid JSON.
    let dpm = of(
        r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "use_karras_sigmas": true}"#,
    );
    assert_eq!((dpm.preferred.sampler.as_str(), dpm.preferred.warp.as_deref()), ("dpmpp-2m", Some("karras")));
    for (class, sampler) in [
        ("PNDMScheduler", "pndm"),
        ("UniPCMultistepScheduler", "unipc"),
        ("EulerDiscreteScheduler", "euler"),
        ("EulerAncestralDiscreteScheduler", "euler-ancestral"),
        ("HeunDiscreteScheduler", "heun"),
        ("DEISMultistepScheduler", "deis"),
    ] {
        assert_eq!(of(&json!({ "_class_name": class }).to_string()).preferred.sampler, sampler);
    }
    let learned = of(
        r#"{"_class_name": "DDPMScheduler", "variance_type": "learned_range", "prediction_type": "v_prediction"}"#,
    );
    assert!(learned.learned_variance && learned.preferred.sampler == "ddpm-learned");
}
