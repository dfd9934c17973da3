//! Runs programs in turns: A B C, C B A, A B C .. This spreads other load and the machine's temperature over all of
//! them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::Value;

use super::programs::{Block, Program, Who};

/// The answers of each program of a block, round by round.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) by: BTreeMap<Who, Vec<Value>>,
}

impl Said {
    /// A number of a program's answer, from every round.
    pub(super) fn numbers(&self, who: Who, key: &str) -> Option<Vec<f64>> {
        let numbers = self.by.get(&who)?.iter().map(|said| said[key].as_f64()).collect::<Option<Vec<_>>>()?;
        (!numbers.is_empty()).then_some(numbers)
    }

    /// The median.
    pub(super) fn median(&self, who: Who, key: &str) -> Option<f64> {
        self.numbers(who, key).map(|numbers| median(&numbers))
    }

    /// The answers of our program in bf16, requested or chosen by default.
    pub(super) fn ours_in_bf16(&self) -> Who {
        let of_default = self.by.get(&Who::Ours).and_then(|said| said.first());
        if of_default.is_some_and(|said| said["precision"] == "bf16") { Who::Ours } else { Who::OursBf16 }
    }
}

/// The middle value, or the mean of the two middle ones; NaN for an empty list.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Runs the programs of a block in turns; `start` runs one and returns its output.
///
/// # Errors
/// When `start` fails, or the output is not a JSON object.
pub(super) fn take_turns(
    block: &Block,
    rounds: usize,
    start: &mut dyn FnMut(&Block, &Program) -> anyhow::Result<String>,
) -> anyhow::Result<Said> {
    let mut said = Said::default();
    for round in 0..rounds {
        let mut order: Vec<&Program> = block.programs.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for program in order {
            let what = || format!("{}, {}", block.name, program.who.name());
            let output = start(block, program).with_context(what)?;
            said.by.entry(program.who).or_default().push(object(&output).with_context(what)?);
        }
    }
    Ok(said)
}

/// The last line that is a JSON object: libraries may print anything before it.
pub(crate) fn object(output: &str) -> anyhow::Result<Value> {
    let lines = output.lines().rev().map(str::trim);
    match lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(Value::is_object) {
        Some(value) => Ok(value),
        None => bail!("expected a JSON object on standard output, found {:?}", output.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::programs::{Choice, blocks};

    #[test]
    fn every_program_has_its_turn_in_every_round() {
        let block = &blocks(Choice { quick: true, compile: false, auto_is_bf16: true })[1];
        let mut order = Vec::new();
        let said = take_turns(block, 3, &mut |_, program| {
            order.push(program.who);
            Ok(format!("a warning\n{{\"median_s\": {}}}\n", order.len()))
        })
        .unwrap();
        let all: Vec<Who> = block.programs.iter().map(|program| program.who).collect();
        let n = all.len();
        assert_eq!(order[..n], all);
        assert!(order[n..2 * n].iter().eq(all.iter().rev()));
        assert_eq!(order[2 * n..], all);
        // First, last of the second round, first of the third.
        let of_first = said.numbers(Who::Ours, "median_s").unwrap();
        assert_eq!(of_first, [1.0, 2.0 * n as f64, 2.0 * n as f64 + 1.0]);
        assert_eq!(said.median(Who::Ours, "median_s"), Some(2.0 * n as f64));
        assert_eq!(said.median(Who::Lucidrains, "median_s"), None);
        assert_eq!(said.median(Who::Ours, "no_such_key"), None);
    }

    #[test]
    fn a_program_that_fails_is_named() {
        let block = &blocks(Choice { quick: true, compile: false, auto_is_bf16: true })[0];
        let error = take_turns(block, 1, &mut |_, _| Ok("no json".into())).unwrap_err();
        assert!(format!("{error:#}").contains("train-small32, ours: expected a JSON object"), "{error:#}");
        let error = take_turns(block, 1, &mut |_, _| bail!("it fell over")).unwrap_err();
        assert!(format!("{error:#}").contains("it fell over"), "{error:#}");
    }

    #[test]
    fn bf16_is_what_was_chosen_or_what_was_asked_for() {
        let said = |precision: &str| {
            let object = serde_json::json!({ "precision": precision });
            Said { by: BTreeMap::from([(Who::Ours, vec![object])]) }
        };
        assert_eq!(said("bf16").ours_in_bf16(), Who::Ours);
        assert_eq!(said("f32").ours_in_bf16(), Who::OursBf16);
        assert_eq!((median(&[3.0, 1.0]), median(&[5.0, 1.0, 2.0])), (2.0, 2.0));
    }
}
