//! The picture of a study: what `ddpm draw-ablation` reads.

use serde_json::{Value, json};

use super::lines::{Line, best_of_rows, lines};
use super::results::Results;

/// Maximum length of a group heading.
const HEADING: usize = 110;

/// The picture, as input for `ddpm draw-ablation`; `None` if there is nothing to draw.
pub(super) fn picture(results: &Results) -> Option<Value> {
    let all = lines(results);
    let first = all.first()?;
    let direction = if first.lower_is_better() { "lower" } else { "higher" };
    let mut kinds: Vec<String> = Vec::new();
    for sampling in results.rows.iter().flat_map(|row| &row.seeds).flat_map(|seed| &seed.evaluations) {
        let kind = sampling.sampling.to_string();
        // Only measured kinds.
        if !kinds.contains(&kind) && all.iter().any(|line| line.sampling.to_string() == kind) {
            kinds.push(kind);
        }
    }
    let dot = |line: &Line<'_>| {
        let kind = line.sampling.to_string();
        let seeds: Vec<f64> = line.seeds.iter().map(|metric| metric.value).collect();
        json!({
            "label": format!("{}, {kind}", line.average), "kind": kinds.iter().position(|other| *other == kind),
            "value": line.value(), "interval": line.interval(),
            "seeds": if seeds.len() > 1 { seeds } else { Vec::new() },
        })
    };
    let group = |best: &Line<'_>| {
        let mut of_row: Vec<&Line<'_>> = all.iter().filter(|line| line.row.name == best.row.name).collect();
        // In file order, so a line has the same place in every group.
        of_row.sort_by_key(|line| {
            let mut order = best.row.seeds.iter().flat_map(|seed| &seed.evaluations);
            order.position(|other| other.average == line.average && other.sampling == *line.sampling)
        });
        let own = best.row.own.text();
        let heading = if own == "-" { best.row.name.clone() } else { format!("{}: {own}", best.row.name) };
        let heading: String = heading.chars().take(HEADING).collect();
        json!({ "heading": heading, "lines": of_row.into_iter().map(dot).collect::<Vec<_>>() })
    };
    let groups: Vec<Value> = best_of_rows(&all).iter().map(group).collect();
    Some(
        json!({ "metric": format!("{}; {direction} is better", first.title()), "kinds": kinds, "groups": groups }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ablate::page::tests::some;

    #[test]
    fn the_picture_has_a_group_a_training_best_first() {
        let picture = picture(&some()).unwrap();
        assert_eq!(picture["metric"], "FD (f), train; lower is better");
        assert_eq!(picture["kinds"], json!(["ddim 4", "ddpm 9"]));
        let headings: Vec<&str> = picture["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|group| group["heading"].as_str())
            .collect();
        assert_eq!(headings, ["c: train.lr=1, a=b|c", "a", "b: objective v"]);
        // In file order, although the second is better.
        let lines = &picture["groups"][2]["lines"];
        assert_eq!((&lines[0]["label"], &lines[0]["kind"]), (&json!("own, ddim 4"), &json!(0)));
        assert_eq!(lines[1]["seeds"], json!([2.0, 8.0]));
        assert_eq!((&lines[1]["value"], &lines[1]["interval"]), (&json!(5.0), &json!([1.0, 10.0])));
        assert_eq!(picture["groups"][0]["lines"][0]["seeds"], json!([]));
    }
}
