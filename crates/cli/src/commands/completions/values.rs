//! The values that a shell offers for flags whose values are names.

use clap::Arg;
use clap::builder::PossibleValue;
use dataset::FASHION_MNIST_CLASSES;
use sampler::Method;

use crate::config::{OBJECTIVES, PRESETS};

/// A name, and what some shells show beside it.
type Names = &'static [(&'static str, &'static str)];

const METRICS: Names = &[
    ("fd", "Frechet distance"),
    ("kd", "kernel distance"),
    ("prdc", "precision, recall, density, coverage"),
    ("is", "Inception score"),
    ("swd", "sliced Wasserstein distance"),
    ("copying", "whether samples repeat training images"),
    ("bpd", "bits/dim by the variational bound"),
    ("ode", "bits/dim by the probability flow"),
];
const SPACINGS: Names = &[
    ("leading", "even, from t = 0"),
    ("trailing", "even, from t = T - 1"),
    ("linspace", "even, both ends"),
    ("quadratic", "denser at the clean end"),
    ("karras", "by sigma, with --rho"),
    ("log-snr", "even in the log signal-to-noise ratio"),
];
const THRESHOLDS: Names =
    &[("clip", "to [-1, 1]"), ("dynamic", "by the quantile of each image"), ("off", "not at all")];
const SIGMAS: Names = &[("fixed-small", "the posterior's"), ("fixed-large", "beta_t")];
const FORMS: Names =
    &[("grid", "one picture of all"), ("png", "one file per image"), ("npz", "one archive of all")];
const DEVICES: Names = &[("auto", "a GPU if there is one"), ("cpu", ""), ("cuda", "the first GPU")];
const PRECISIONS: Names = &[("auto", ""), ("f32", ""), ("tf32", "on a GPU"), ("bf16", "")];
const ON_BAD: Names = &[("fail", "list unreadable images and stop"), ("skip", "leave them out")];
const ON_NAN: Names =
    &[("stop", "stop the run"), ("skip", "skip the step"), ("rollback", "go back to the last checkpoint")];

/// The values of a flag; `None` if they are not names.
pub(super) fn of(arg: &Arg) -> Option<Vec<PossibleValue>> {
    let of_sampler = arg.get_help_heading() == Some("Sampler");
    let names = match arg.get_long()? {
        "sampler" => return Some(solvers()),
        "spacing" if of_sampler => SPACINGS,
        "sigma" if of_sampler => SIGMAS,
        "threshold" if of_sampler => THRESHOLDS,
        "metrics" => METRICS,
        "save" => FORMS,
        "device" => DEVICES,
        "precision" => PRECISIONS,
        "on-bad" => ON_BAD,
        "on-nan" => ON_NAN,
        "class" => return Some(classes()),
        "preset" => return Some(of_files(PRESETS)),
        "objective" => return Some(of_files(OBJECTIVES)),
        _ => return None,
    };
    Some(names.iter().map(|&(name, about)| value(name, about)).collect())
}

fn value(name: impl Into<clap::builder::Str>, about: &'static str) -> PossibleValue {
    let value = PossibleValue::new(name);
    if about.is_empty() { value } else { value.help(about) }
}

fn of_files(list: &[(&'static str, &'static str, &str)]) -> Vec<PossibleValue> {
    list.iter().map(|&(name, about, _)| value(name, about)).collect()
}

/// The solvers, from their own list.
fn solvers() -> Vec<PossibleValue> {
    let named = |name: &&'static str| Some(value(*name, name.parse::<Method>().ok()?.about()));
    Method::NAMES.iter().filter_map(named).collect()
}

/// The classes of the embedded set, in lower case. A name with a space is two words in a shell, so it is offered as its
/// number. Other data has other names, which no script can know.
fn classes() -> Vec<PossibleValue> {
    let named = FASHION_MNIST_CLASSES.iter().enumerate().map(|(number, &name)| match name.contains(' ') {
        true => value(number.to_string(), name),
        false => value(name.to_lowercase(), ""),
    });
    named.chain([value("all", "every class in turn")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::evaluate::Wanted;
    use crate::output::Form;
    use sampler::Times;
    use schedule::Variance;

    fn of(names: Names) -> impl Iterator<Item = &'static str> {
        names.iter().map(|(name, _)| *name)
    }

    #[test]
    fn the_names_are_those_that_the_flags_take() {
        assert!(solvers().iter().map(PossibleValue::get_name).eq(Method::NAMES.iter().copied()));
        assert!(of(METRICS).eq(Wanted::ALL.iter().map(|(name, _)| *name)));
        assert!(of(SPACINGS).all(|name| name.parse::<Times>().is_ok()));
        assert!(of(SIGMAS).all(|name| name.parse::<Variance>().is_ok()));
        assert!(of(FORMS).all(|name| name.parse::<Form>().is_ok()));
    }

    #[test]
    fn classes_are_single_words() {
        let classes = classes();
        assert_eq!(classes.len(), 11);
        assert!(classes.iter().all(|class| !class.get_name().contains(' ')));
        assert!(classes.iter().any(|class| class.get_name() == "sneaker"));
        let boot = classes.iter().find(|class| class.get_name() == "9").unwrap();
        assert_eq!(boot.get_help().unwrap().to_string(), "Ankle boot");
    }
}
