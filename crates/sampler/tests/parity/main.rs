//! Every solver against the schedulers of diffusers, in f32: the same network, start and noise lead to the same sample.
//!
//! `scripts/make_sampler_goldens.py` ran diffusers and documents it; `cargo xtask parity` prints the table.

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod replay;

#[test]
fn every_run_agrees_or_differs_on_purpose() {
    let table = replay::all().unwrap();
    let text = table.text();
    assert_eq!(table.failed(), 0, "{text}");
    assert!(text.ends_with("\n143 agree, 10 differ on purpose, 0 failed\n"), "{text}");
}

#[test]
fn the_differences_are_these() {
    let rows = replay::all().unwrap().rows;
    let names: Vec<&str> =
        rows.iter().filter(|row| row.reason.is_some()).map(|row| row.name.as_str()).collect();
    let scaled = "beta_schedule=scaled_linear beta_start=0.00085 beta_end=0.012";
    let v = "prediction_type=v_prediction";
    assert_eq!(
        names,
        [
            &format!(
                "DDPM 10 variance_type=fixed_large timestep_spacing=trailing {v} {scaled} clip_sample=False"
            ),
            "DDIM 10 timestep_spacing=linspace clip_sample=False",
            &format!(
                "DDIM 25 timestep_spacing=linspace {v} beta_schedule=squaredcos_cap_v2 clip_sample=False eta=0.5"
            ),
            "DPMSolverMultistep 20 final_sigmas_type=sigma_min euler_at_final=True",
            "UniPCMultistep 10 disable_corrector=[0,3,4]",
            &format!(
                "PNDM 20 skip_prk_steps=True timestep_spacing=trailing {v} {scaled} set_alpha_to_one=True"
            ),
            &format!("PNDM 10 skip_prk_steps=True timestep_spacing=linspace {scaled} set_alpha_to_one=True"),
            &format!("PNDM 10 skip_prk_steps=True {v} beta_schedule=squaredcos_cap_v2"),
            &format!("PNDM 20 timestep_spacing=trailing {v} {scaled}"),
            &format!("PNDM 10 timestep_spacing=linspace {scaled} set_alpha_to_one=True"),
        ]
    );
}
