//! Makes all calls in rounds, each in processes of its own, and finds numbers in the answers.

use anyhow::Context;
use serde_json::{Value, json};

use super::link::Point;
use super::plan::{HELD_OUT, Kind, SIZES, Work};
use crate::bench::rounds::median;

/// The answers of a call, round by round.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    work: Work,
    said: Vec<Value>,
}

/// The answers of all calls.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct All(Vec<Measured>);

impl All {
    /// Makes every call once a round, in the order of the plan and in the next round backwards; `start` makes one.
    ///
    /// # Errors
    /// When `start` fails.
    pub(super) fn take_turns(
        rounds: usize,
        start: &mut dyn FnMut(Work) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Self> {
        let mut all: Vec<Measured> =
            Work::all().into_iter().map(|work| Measured { work, said: Vec::new() }).collect();
        for round in 0..rounds {
            let mut order: Vec<&mut Measured> = all.iter_mut().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for measured in order {
                measured.said.push(start(measured.work).with_context(|| measured.work.name())?);
            }
        }
        Ok(Self(all))
    }

    fn said(&self, work: Work) -> anyhow::Result<&[Value]> {
        let measured = self.0.iter().find(|measured| measured.work == work);
        let said = measured.map(|measured| &measured.said[..]).filter(|said| !said.is_empty());
        said.with_context(|| format!("{}: not measured", work.name()))
    }

    /// Seconds and messages of a sum of these bytes: the median of the rounds' medians.
    ///
    /// # Errors
    /// No such sum was measured.
    pub(super) fn sum(&self, work: Work, bytes: u64) -> anyhow::Result<(f64, u64)> {
        let of_round = |said: &Value| {
            let sums = said["sums"].as_array()?;
            let sum = sums.iter().find(|sum| sum["bytes"] == bytes)?;
            Some((sum["median_s"].as_f64()?, sum["messages"].as_u64()?))
        };
        let rounds: Option<Vec<(f64, u64)>> = self.said(work)?.iter().map(of_round).collect();
        let rounds = rounds.with_context(|| format!("{}: no sum of {bytes} bytes", work.name()))?;
        let seconds: Vec<f64> = rounds.iter().map(|round| round.0).collect();
        Ok((median(&seconds), rounds.first().map_or(0, |round| round.1)))
    }

    /// Seconds of a training step, and of the part in which ranks wait and sum.
    ///
    /// # Errors
    /// No such step was measured.
    pub(super) fn step(&self, work: Work) -> anyhow::Result<(f64, f64)> {
        let said = self.said(work)?;
        let step: Option<Vec<f64>> = said.iter().map(|said| said["median_s"].as_f64()).collect();
        let step = step.with_context(|| format!("{}: no median_s", work.name()))?;
        // A single rank has no such part.
        let reduce = |said: &Value| said["parts"]["reduce"].as_f64().unwrap_or(0.0);
        Ok((median(&step), median(&said.iter().map(reduce).collect::<Vec<_>>())))
    }

    /// The points that a law is fitted to, or those that are held out from it.
    ///
    /// # Errors
    /// A sum was not measured.
    pub(super) fn points(&self, ranks: u32, kind: Kind, held_out: bool) -> anyhow::Result<Vec<Point>> {
        let point = |bytes: u64| {
            let seconds = self.sum(Work::Sizes(ranks, kind), bytes)?.0;
            Ok(Point { bytes: bytes as f64, ranks: f64::from(ranks), seconds })
        };
        SIZES.into_iter().filter(|size| HELD_OUT.contains(size) == held_out).map(point).collect()
    }

    /// As JSON, to make the page again.
    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(|m| json!({ "call": m.work.name(), "rounds": m.said })).collect()
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Anything that [`All::to_json`] does not produce.
    pub(super) fn from_json(value: &Value) -> anyhow::Result<Self> {
        let one = |value: &Value| {
            let name = value["call"].as_str().with_context(|| format!("no call in {value}"))?;
            let work = Work::all().into_iter().find(|work| work.name() == name);
            let work = work.with_context(|| format!("unknown call {name:?}"))?;
            let said = value["rounds"].as_array().filter(|rounds| !rounds.is_empty());
            Ok(Measured { work, said: said.with_context(|| format!("no rounds in {value}"))?.clone() })
        };
        let calls = value.as_array().context("no calls")?;
        Ok(Self(calls.iter().map(one).collect::<anyhow::Result<_>>()?))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::link::Link;
    use super::super::plan::{BUCKET, Network, PRESETS, STEPS};
    use super::*;

    /// A link, and the networks of a machine that obeys its law exactly.
    pub(in crate::bench::ranks) const LINK: Link = Link { latency_s: 50e-6, bytes_per_s: 1e9 };

    pub(in crate::bench::ranks) fn networks() -> Vec<Network> {
        let parameters = [100_000, 1_623_169, 5_000_000, 35_746_307];
        let network =
            |(preset, parameters): (&&str, u64)| Network { preset: (*preset).to_owned(), parameters };
        PRESETS.iter().zip(parameters).map(network).collect()
    }

    /// What the program would answer there: bf16 is as fast per byte, and two ranks need 1.25 times as long for a step.
    fn answer(work: Work) -> Value {
        let args = work.args(&networks(), true);
        let after = |flag: &str| args.iter().skip_while(|arg| *arg != flag).nth(1).cloned();
        if let Work::Step(index, ranks) = work {
            let seconds = 0.1 * (index + 1) as f64 * if ranks == 1 { 1.0 } else { 1.25 };
            let parts = if ranks == 1 { json!({}) } else { json!({ "reduce": 0.02 }) };
            return json!({ "median_s": seconds, "parts": parts });
        }
        let number = |text: &str| text.parse::<u64>().unwrap();
        let (ranks, bucket) = (number(&after("--nproc").unwrap()), number(&after("--bucket").unwrap()));
        let sum = |bytes: u64| {
            let messages = bytes.div_ceil(bucket);
            let seconds = LINK.seconds(bytes as f64, ranks as f64, messages as f64);
            json!({ "bytes": bytes, "messages": messages, "median_s": seconds })
        };
        let sums: Vec<Value> = after("--bytes").unwrap().split(',').map(|bytes| sum(number(bytes))).collect();
        json!({ "sums": sums })
    }

    pub(in crate::bench::ranks) fn measured() -> All {
        All::take_turns(2, &mut |work| Ok(answer(work))).unwrap()
    }

    #[test]
    fn every_call_has_its_turn_in_every_round() {
        let mut order = Vec::new();
        let all = All::take_turns(2, &mut |work| {
            order.push(work);
            Ok(json!({ "median_s": order.len() as f64 }))
        })
        .unwrap();
        let n = Work::all().len();
        assert_eq!(order[..n], Work::all());
        assert!(order[n..].iter().eq(Work::all().iter().rev()));
        // The first and the last of all.
        assert_eq!(all.step(Work::Sizes(2, Kind::F32)).unwrap(), ((1 + 2 * n) as f64 / 2.0, 0.0));
        let error = All::take_turns(1, &mut |_| anyhow::bail!("it fell over")).unwrap_err();
        assert_eq!(format!("{error:#}"), "sizes, 2 ranks, f32: it fell over");
    }

    #[test]
    fn numbers_are_found_by_call_and_bytes() {
        let all = measured();
        let gradient = networks()[3].bytes(Kind::F32);
        let (seconds, messages) = all.sum(Work::Gradients(4, Kind::F32), gradient).unwrap();
        assert_eq!(messages, gradient.div_ceil(BUCKET));
        assert_eq!(seconds, LINK.seconds(gradient as f64, 4.0, messages as f64));
        assert_eq!(all.step(Work::Step(0, 2)).unwrap(), (0.125, 0.02));
        assert_eq!(all.step(Work::Step(STEPS.len() - 1, 1)).unwrap().1, 0.0);
        let error = all.sum(Work::Bucket(BUCKET), 4).unwrap_err().to_string();
        assert_eq!(error, "buckets, 32 MiB: no sum of 4 bytes");
        let (fitted, held_out) = (all.points(2, Kind::Bf16, false).unwrap(), all.points(2, Kind::Bf16, true));
        assert_eq!((fitted.len(), held_out.unwrap().len()), (5, 3));
    }

    #[test]
    fn what_was_kept_is_read_again_and_something_else_is_refused() {
        let all = measured();
        assert_eq!(All::from_json(&all.to_json()).unwrap(), all);
        let refused = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            format!("{:#}", All::from_json(&value).unwrap_err())
        };
        assert_eq!(refused("{}"), "no calls");
        assert!(refused("[{}]").starts_with("no call in"));
        assert_eq!(refused(r#"[{"call": "a dance", "rounds": [1]}]"#), "unknown call \"a dance\"");
        assert!(refused(r#"[{"call": "buckets, all", "rounds": []}]"#).starts_with("no rounds in"));
        let none = All(Vec::new()).step(Work::Step(0, 1)).unwrap_err().to_string();
        assert_eq!(none, "small-32, 1 rank: not measured");
    }
}
