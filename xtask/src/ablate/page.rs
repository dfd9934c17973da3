//! The page of a study, and its results for the terminal.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lines::{Line, best_of_rows, lines};
use super::results::Results;
use super::study::Budget;
use super::table::{as_markdown, as_text, escaped, table};
use crate::machine::Origin;

/// Relative error above which an average deserves a note.
const FAR: f64 = 0.05;

/// The page as Markdown, with the picture beside it.
pub(super) fn markdown(results: &Results, picture: &str) -> String {
    let all = lines(results);
    let best = best_of_rows(&all);
    let alt = "the metric of every training as a dot with its 95 % interval, best first";
    let mut parts = vec![introduction(results, &best)];
    if best.is_empty() {
        parts.push("Nothing was measured.".to_owned());
    } else {
        parts.push(format!("![{alt}]({picture})"));
        parts.push(format!("## Each training at its best\n{}", as_markdown(&table(&best))));
        if all.len() > best.len() {
            parts.push(format!("## All evaluations\n{}", as_markdown(&table(&all))));
        }
    }
    for (heading, list) in [("## Notes", notes(results)), ("## What failed", results.failures())] {
        if !list.is_empty() {
            let list: Vec<String> = list.iter().map(|entry| format!("- {}", escaped(entry))).collect();
            parts.push(format!("{heading}\n{}", list.join("\n")));
        }
    }
    parts.join("\n\n") + "\n"
}

/// For the terminal: each training at its best, and what failed.
pub(super) fn text(results: &Results) -> String {
    let best = best_of_rows(&lines(results));
    let mut out = if best.is_empty() { "nothing was measured".to_owned() } else { as_text(&table(&best)) };
    for note in notes(results) {
        out += &format!("\nnote: {note}");
    }
    for failure in results.failures() {
        out += &format!("\nfailed: {failure}");
    }
    out
}

fn introduction(results: &Results, best: &[Line<'_>]) -> String {
    let origins: Vec<&Origin> =
        results.rows.iter().flat_map(|row| &row.seeds).flat_map(|s| &s.origin).collect();
    let of = |part: fn(&Origin) -> &String| -> BTreeSet<&str> {
        let all = origins.iter().map(|&origin| part(origin).as_str());
        all.chain(origins.is_empty().then(|| part(&results.origin).as_str())).collect()
    };
    let listed = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join(", ");
    let dates = of(|origin| &origin.date);
    let dates = match (dates.first(), dates.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => (*only).to_owned(),
        _ => String::new(),
    };
    let length = match results.budget {
        Budget::Steps(steps) => files::counted(steps, "step"),
        Budget::Seconds(seconds) => {
            format!("as many steps as take {seconds} s here, by a short warm-up of each row")
        }
    };
    let evaluate = &results.evaluate;
    let metric = best.first().map_or_else(|| evaluate.metric.clone(), |line| line.title().to_owned());
    let direction = if best.first().is_none_or(Line::lower_is_better) { "lower" } else { "higher" };
    let more = results.best.as_ref().map_or_else(String::new, |best| {
        let seeds: Vec<String> = best.seeds.iter().map(u64::to_string).collect();
        format!(
            " The {} best rows by first seed are trained with the seeds {}: the value is their mean, the interval \
             covers those of all seeds, and the spread is the standard deviation over seeds.",
            best.count,
            seeds.join(", ")
        )
    });
    format!(
        "# Ablation: {}\n\n\
         `cargo xtask ablate {}`, commit {}, {dates}, on {}. Base: {}. Each training has {length}. Each evaluation draws {} \
         images (seed {}). Sorted by {metric}; {direction} is better. The 95 % interval covers only the \
         evaluation, not the variation between trainings. Wall seconds are those of the training steps. The machine may have \
         run other work at the same time, so they do not compare speeds.{more}",
        escaped(&results.name),
        results.file,
        listed(of(|origin| &origin.commit)),
        listed(of(|origin| &origin.machine)),
        escaped(&results.base.text()),
        evaluate.n,
        evaluate.seed,
    )
}

/// What a reader should know before comparing lines.
fn notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let seeds = || results.rows.iter().flat_map(|row| row.seeds.iter().map(move |seed| (row, seed)));
    let evaluations = || seeds().flat_map(|(_, seed)| &seed.evaluations);
    let origins: BTreeSet<(&str, &str)> =
        seeds().flat_map(|(_, seed)| &seed.origin).map(|o| (o.commit.as_str(), o.machine.as_str())).collect();
    let missing: Vec<&str> =
        results.rows.iter().filter(|row| row.seeds.is_empty()).map(|row| row.name.as_str()).collect();
    if !missing.is_empty() {
        notes.push(format!("not trained yet: {}", missing.join(", ")));
    }
    if origins.len() > 1 {
        notes.push("the trainings come from different commits or machines".to_owned());
    }
    type Part = fn(&Value) -> &Value;
    let parts: [(&str, Part); 2] =
        [("features", |said| &said["features"]["sha256"]), ("reference images", |said| &said["references"])];
    for (what, part) in parts {
        let said = evaluations().filter_map(|evaluated| evaluated.said.as_ref());
        if said.map(|said| part(said).to_string()).collect::<BTreeSet<_>>().len() > 1 {
            notes.push(format!("the evaluations have different {what}: their values cannot be compared"));
        }
    }
    for (row, seed) in seeds() {
        let flagged = |said: &Value| said["copying"]["flagged"] == true;
        let copying =
            seed.evaluations.iter().filter(|evaluated| evaluated.said.as_ref().is_some_and(flagged));
        let copying = copying.count();
        if copying > 0 {
            notes.push(format!(
                "{}, seed {}: samples repeat training images in {}",
                row.name,
                seed.seed,
                files::counted(copying, "evaluation")
            ));
        }
        let mut told: Vec<String> = Vec::new();
        for evaluated in &seed.evaluations {
            let Some(error) = evaluated.average_error.filter(|&error| error > FAR) else { continue };
            let note = format!(
                "{}, seed {}: the average {} is off by {:.0} %: store more of them (a lower train.checkpoint_every)",
                row.name,
                seed.seed,
                evaluated.average,
                100.0 * error
            );
            if !told.contains(&note) {
                told.push(note);
            }
        }
        notes.extend(told);
    }
    notes
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::picture::picture;
    use super::*;
    use crate::ablate::results::tests::{results, study, trained};
    use serde_json::json;

    /// Three trainings, one of them with two seeds.
    pub(in crate::ablate) fn some() -> Results {
        let mut results = results([&[5.0, 4.0], &[9.0, 2.0], &[3.0]], "lower");
        results.rows[1].seeds.push(trained(&study(), 1, 1, &[9.0, 8.0], "lower"));
        results.rows[2].own.set.push("a=b|c".to_owned());
        results
    }

    #[test]
    fn the_page_has_every_line_sorted_and_where_it_is_from() {
        let mut results = some();
        results.rows[0].seeds[0].evaluations[0].failed = Some("no features".to_owned());
        let page = markdown(&results, "s.png");
        for part in [
            "# Ablation: s\n",
            "`cargo xtask ablate s.toml`, commit abc, 2026-11-29, on a CPU, 2 threads. Base: preset tiny-16. Each training has 70 steps. \
             Each evaluation draws 9 images (seed 0). Sorted by FD (f), train; lower is better.",
            "The 2 best rows by first seed are trained with the seeds 0, 1, 2",
            "![the metric of every training as a dot with its 95 % interval, best first](s.png)",
            "so they do not compare speeds. The 2 best rows",
            "| training | weights | sampling | FD (f), train | 95 % interval | spread (seeds) | kd:train | fd:test | steps | wall seconds, shared machine | differs from base |",
            "| c | own | ddim 4 | 3.000 | 2.000 to 5.000 |  | 0.3000 | 8.000 | 70 | 2 | train.lr=1, a=b\\|c |",
            "| b | own | ddpm 9 | 5.000 | 1.000 to 10.00 | 4.243 (2) | 0.5000 | 10.00 | 70 | 2 | objective v |",
            "## What failed\n- a, seed 0, own, ddim 4: no features\n",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("## Notes"), "{page}");
        // Headers and rules of two tables, the 3 best lines and all 5, each with as many columns as its header.
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 2 * 2 + 3 + 5);
        let columns = |row: &&str| row.replace("\\|", "").matches('|').count();
        assert!(rows.iter().all(|row| columns(row) == columns(&rows[0])), "{page}");
        let text = text(&results);
        assert_eq!(text.lines().count(), 1 + 3 + 1, "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("c         own"), "{text}");
    }

    #[test]
    fn what_makes_lines_differ_is_noted() {
        let mut results = some();
        results.rows[2].seeds.clear();
        let seed = &mut results.rows[0].seeds[0];
        seed.origin.as_mut().unwrap().commit = "def".to_owned();
        seed.origin.as_mut().unwrap().date = "2026-11-30".to_owned();
        seed.evaluations[0].average_error = Some(0.12);
        seed.evaluations[0].said.as_mut().unwrap()["features"]["sha256"] = "other".into();
        seed.evaluations[1].said.as_mut().unwrap()["copying"] = json!({ "flagged": true });
        let page = markdown(&results, "s.png");
        assert!(page.contains("commit abc, def, 2026-11-29 to 2026-11-30, on a CPU"), "{page}");
        for note in [
            "not trained yet: c\n",
            "different commits",
            "have different features",
            "a, seed 0: the average own is off by 12 %",
            "a, seed 0: samples repeat training images in 1 evaluation",
        ] {
            assert!(page.contains(note), "{note}: {page}");
        }
        assert!(!page.contains("different reference images"), "{page}");
    }

    #[test]
    fn a_study_without_results_has_a_page() {
        let nothing = Results { rows: Vec::new(), ..some() };
        assert!(markdown(&nothing, "s.png").contains("Nothing was measured."));
        assert_eq!(text(&nothing), "nothing was measured");
        assert_eq!(picture(&nothing), None);
    }
}
