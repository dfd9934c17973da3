//! The law of a ring, fitted to the measured sums: for both types, each number of ranks and all together.

use super::link::{Link, Point};
use super::measure::All;
use super::plan::{Kind, RANKS};

/// A law, the points it was fitted to and those that were held out.
pub(super) struct Law {
    pub(super) kind: Kind,
    /// `2`, `4` or `2 and 4`.
    pub(super) ranks: String,
    /// `None` if the points have no such law.
    pub(super) link: Option<Link>,
    pub(super) fitted: Vec<Point>,
    pub(super) held_out: Vec<Point>,
}

/// The laws for both types, for each number of ranks and for all together.
///
/// # Errors
/// A sum was not measured.
pub(super) fn laws(all: &All) -> anyhow::Result<Vec<Law>> {
    let mut laws = Vec::new();
    for kind in Kind::ALL {
        for ranks in [&RANKS[..1], &RANKS[1..], &RANKS[..]] {
            let points = |held_out: bool| -> anyhow::Result<Vec<Point>> {
                let of = ranks.iter().map(|&ranks| all.points(ranks, kind, held_out));
                Ok(of.collect::<anyhow::Result<Vec<_>>>()?.concat())
            };
            let (fitted, held_out) = (points(false)?, points(true)?);
            let ranks = ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
            laws.push(Law { kind, ranks, link: Link::fit(&fitted), fitted, held_out });
        }
    }
    Ok(laws)
}

/// The law for f32 and two ranks.
pub(super) fn of_two_ranks(laws: &[Law]) -> Option<Link> {
    laws.iter().find(|law| law.kind == Kind::F32 && law.ranks == "2")?.link
}

#[cfg(test)]
mod tests {
    use super::super::measure::tests::{LINK, measured};
    use super::*;

    #[test]
    fn laws_of_an_exact_machine_are_its_own() {
        let laws = laws(&measured()).unwrap();
        let names: Vec<String> =
            laws.iter().map(|law| format!("{} {}", law.kind.name(), law.ranks)).collect();
        assert_eq!(names[..3], ["f32 2", "f32 4", "f32 2 and 4"]);
        assert_eq!((names.len(), laws[2].fitted.len(), laws[2].held_out.len()), (6, 10, 6));
        for law in &laws {
            let link = law.link.unwrap();
            assert!((link.latency_s / LINK.latency_s - 1.0).abs() < 1e-9 && link.worst(&law.held_out) < 1e-9);
        }
        assert_eq!(of_two_ranks(&laws), laws[0].link);
    }

    #[test]
    fn what_was_not_measured_is_an_error() {
        let text = r#"[{"call": "sizes, 2 ranks, f32", "rounds": [{}]}]"#;
        let some = All::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let error = laws(&some).err().unwrap().to_string();
        assert_eq!(error, "sizes, 2 ranks, f32: no sum of 4096 bytes");
    }
}
