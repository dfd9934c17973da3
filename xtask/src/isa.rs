//! Tests the numeric crates with fewer instructions than the processor has, since results must hold on other machines.

use std::process::Command;

use clap::ValueEnum;

/// Crates whose results depend on the instruction set.
pub(crate) const CRATES: [&str; 4] = ["torch-ext", "unet", "trainer", "sampler"];

/// The values of `--isa`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// AVX2 only, and everything except AMX: what most processors have
    #[default]
    Short,
    /// Each of the sets below
    All,
    /// AVX2
    Avx2,
    /// AVX-512 without bf16 instructions
    Avx512,
    /// AVX-512 with bf16, without AMX
    Avx512Bf16,
    /// Everything up to AMX
    Amx,
    /// No limited run
    None,
}

impl Choice {
    /// The sets to test; each runs all suites.
    pub(crate) fn sets(self) -> &'static [Set] {
        match self {
            Self::Short => &[Set::Avx2, Set::Avx512Bf16],
            Self::All => &Set::ALL,
            Self::Avx2 => &[Set::Avx2],
            Self::Avx512 => &[Set::Avx512],
            Self::Avx512Bf16 => &[Set::Avx512Bf16],
            Self::Amx => &[Set::Amx],
            Self::None => &[],
        }
    }
}

/// A limit on the instructions used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Avx2,
    Avx512,
    Avx512Bf16,
    Amx,
}

impl Set {
    /// All sets; each has what those before it have.
    const ALL: [Self; 4] = [Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// The name in `--isa` and in `DDPM_MAX_CPU_ISA`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    /// Limits our own loops, libtorch, oneDNN and MKL, each by its own variable.
    pub(crate) fn limit(self, command: &mut Command) {
        let (aten, onednn, mkl) = match self {
            Self::Avx2 => ("avx2", "AVX2", "AVX2"),
            Self::Avx512 => ("avx512", "AVX512_CORE", "AVX512"),
            Self::Avx512Bf16 => ("avx512", "AVX512_CORE_BF16", "AVX512"),
            Self::Amx => ("avx512", "AVX512_CORE_AMX", "AVX512"),
        };
        command.env("DDPM_MAX_CPU_ISA", self.name());
        command.env("ATEN_CPU_CAPABILITY", aten).env("ONEDNN_MAX_CPU_ISA", onednn);
        command.env("MKL_ENABLE_INSTRUCTIONS", mkl);
    }

    /// Why tests limited to this set cannot run or find nothing new here.
    pub(crate) fn obstacle(self) -> Option<String> {
        self.obstacle_in(&features())
    }

    fn obstacle_in(self, features: &[&str]) -> Option<String> {
        if let Some(missing) = self.lacking_in(features) {
            return Some(format!("this processor has no {missing}"));
        }
        let largest = Self::ALL.into_iter().rfind(|set| set.lacking_in(features).is_none());
        (largest == Some(self))
            .then(|| "the tests above ran with the same: this processor has no more".to_owned())
    }

    /// The first feature the set needs that is not among `features`.
    fn lacking_in(self, features: &[&str]) -> Option<&'static str> {
        let needed: &[&str] = match self {
            Self::Avx2 => &["avx2"],
            Self::Avx512 => &["avx2", "avx512f"],
            Self::Avx512Bf16 => &["avx2", "avx512f", "avx512_bf16"],
            Self::Amx => &["avx2", "avx512f", "avx512_bf16", "amx_bf16"],
        };
        needed.iter().find(|name| !features.contains(name)).copied()
    }
}

/// The relevant instruction sets of this processor.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    // The standard library cannot detect AMX yet; Linux lists it.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let found = [
        ("avx2", is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
        ("amx_bf16", flags.split_ascii_whitespace().any(|flag| flag == "amx_bf16")),
    ];
    found.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_form_has_every_set_and_the_short_one_limits_what_this_machine_may_have() {
        assert_eq!(Choice::All.sets().len(), 4);
        assert!(Choice::Short.sets().iter().all(|set| Choice::All.sets().contains(set) && *set != Set::Amx));
        assert!(Choice::None.sets().is_empty());
        for set in Choice::All.sets() {
            assert_eq!(Choice::from_str(set.name(), false).unwrap().sets(), [*set]);
        }
    }

    #[test]
    fn a_set_names_the_first_missing_feature() {
        assert_eq!(Set::Avx2.lacking_in(&[]), Some("avx2"));
        assert_eq!(Set::Avx512Bf16.lacking_in(&["avx2", "avx512f"]), Some("avx512_bf16"));
        assert_eq!(Set::Amx.lacking_in(&["avx2", "avx512f", "avx512_bf16"]), Some("amx_bf16"));
        assert_eq!(Set::Amx.lacking_in(&["avx2", "avx512f", "avx512_bf16", "amx_bf16"]), None);
    }

    /// A limit that takes nothing away repeats the tests.
    #[test]
    fn only_sets_below_the_processor_s_own_are_tested() {
        let tested = |features: &[&str]| -> Vec<Set> {
            Set::ALL.into_iter().filter(|set| set.obstacle_in(features).is_none()).collect()
        };
        assert!(tested(&[]).is_empty() && tested(&["avx2"]).is_empty());
        assert_eq!(tested(&["avx2", "avx512f"]), [Set::Avx2]);
        assert_eq!(tested(&["avx2", "avx512f", "avx512_bf16"]), [Set::Avx2, Set::Avx512]);
        let all = ["avx2", "avx512f", "avx512_bf16", "amx_bf16"];
        assert_eq!(tested(&all), [Set::Avx2, Set::Avx512, Set::Avx512Bf16]);
        let why = |set: Set, features: &[&str]| set.obstacle_in(features).unwrap_or_default();
        assert_eq!(why(Set::Amx, &all[..3]), "this processor has no amx_bf16");
        assert!(
            why(Set::Amx, &all).contains("no more") && why(Set::Avx512Bf16, &all[..3]).contains("no more")
        );
    }

    #[test]
    fn every_library_is_limited() {
        let mut command = Command::new("true");
        Set::Avx2.limit(&mut command);
        let set: Vec<_> =
            command.get_envs().filter_map(|(key, value)| Some((key.to_str()?, value?.to_str()?))).collect();
        assert_eq!(
            set,
            [
                ("ATEN_CPU_CAPABILITY", "avx2"),
                ("DDPM_MAX_CPU_ISA", "avx2"),
                ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
                ("ONEDNN_MAX_CPU_ISA", "AVX2"),
            ]
        );
    }
}
