//! Class and guidance: the flags of commands that sample.

use anyhow::anyhow;
use clap::Args;
use sampler::{Guidance, GuidanceError};

use crate::conditioning::Conditioning;
use crate::config::{ImagesConfig, nearest};
use crate::failure::{bail_usage, usage};
use crate::guide;
use crate::model::Loaded;
use crate::paths::InputPath;

/// The largest of 1, 1.5, 2, 3 and 5 at which the small network of `fashion-28-classes` keeps the look of the data;
/// higher scales draw stripes on coats and shirts.
const SCALE: f64 = 2.0;
/// Names listed in a message; `inspect data` lists all.
const LISTED: usize = 12;

/// Class and guidance.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Classes, of a network trained with labels")]
pub(crate) struct GuidanceArgs {
    /// Class name or number, several in turn, or all [default: none]
    #[arg(long, value_name = "K", value_delimiter = ',')]
    class: Vec<String>,
    /// Guidance scale; 1 disables guidance [default: 2]
    #[arg(long, value_name = "W")]
    guidance: Option<f64>,
    /// Guide away from this worse network instead, with classes or without; for example an earlier checkpoint of the run
    /// [default: none]
    #[arg(long, value_name = "DIR")]
    guide_with: Option<InputPath>,
    /// Guide only for t/T in (LO, HI]; 0 is the clean end [default: 0,1]
    #[arg(long, value_name = "LO,HI", value_delimiter = ',')]
    guidance_interval: Vec<f64>,
    /// Reduce the contrast that guidance adds, 0 to 1 [default: 0]
    #[arg(long, value_name = "PHI")]
    guidance_rescale: Option<f64>,
}

impl GuidanceArgs {
    /// Checks the numbers before any network is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.numbers().map(drop)
    }

    /// The conditioning that the flags choose. A conditional network without `--class` samples unconditionally, if it
    /// was trained to.
    pub(crate) fn conditioning(&self, loaded: &Loaded) -> anyhow::Result<Conditioning> {
        let guidance = self.numbers()?;
        if let Some(guide) = &self.guide_with {
            let classes = match loaded.config.model.classes {
                Some(classes) if !self.class.is_empty() => wanted(&self.class, classes, &loaded.images)?,
                Some(_) if loaded.config.train.label_dropout > 0.0 => Vec::new(),
                Some(classes) => bail_usage!(
                    "this network was trained with a class for every image (train.label_dropout = 0): pass --class, {} or all",
                    range(classes)
                ),
                None if self.class.is_empty() => Vec::new(),
                None => {
                    bail_usage!("--class {}: this network has no classes; leave it out", self.class.join(","))
                }
            };
            return Ok(Conditioning::new(classes, guidance).against(guide::open(guide, loaded)?));
        }
        let Some(classes) = loaded.config.model.classes else {
            if let Some(flag) = self.first_flag() {
                bail_usage!(
                    "{flag}: this network has no classes; leave it out, pass a worse network to guide away from (--guide-with), or \
                     train one with classes: `ddpm train --preset fashion-28-classes`, or --set model.classes=N with your own \
                     labelled images"
                );
            }
            return Ok(Conditioning::none());
        };
        // Without label dropout in training, the network has not learned to predict without a class.
        let knows_none = loaded.config.train.label_dropout > 0.0;
        if self.class.is_empty() {
            if let Some(flag) = self.first_flag() {
                bail_usage!("{flag}: guidance needs a class; pass --class, {} or all", range(classes));
            }
            if !knows_none {
                bail_usage!(
                    "this network was trained with a class for every image (train.label_dropout = 0): pass --class, \
                     {} or all",
                    range(classes)
                );
            }
            return Ok(Conditioning::none());
        }
        // A guidance scale of 1 calls the network once, with the class; there is nothing to mix.
        let mixes = knows_none && guidance.scale != 1.0;
        if let Some(flag) = self.mixing_flag().filter(|_| !mixes) {
            bail_usage!(
                "{flag}: has no effect at a guidance scale of 1, {}",
                match knows_none {
                    true => "--guidance 1; leave one of them out",
                    false => "the only one of a network trained with train.label_dropout = 0; leave it out",
                }
            );
        }
        let guidance = match guidance {
            guidance if knows_none => guidance,
            guidance if self.guidance.is_none_or(|scale| scale == 1.0) => Guidance { scale: 1.0, ..guidance },
            _ => bail_usage!(
                "--guidance {}: this network was trained with a class for every image (train.label_dropout = 0), so \
                 it has nothing to guide away from; pass --guidance 1, or train with --set train.label_dropout=0.1",
                guidance.scale
            ),
        };
        Ok(Conditioning::new(wanted(&self.class, classes, &loaded.images)?, guidance))
    }

    /// [`GuidanceArgs::conditioning`], but without a class or a guide it draws every class in turn, without guidance.
    pub(crate) fn conditioning_or_all(&self, loaded: &Loaded) -> anyhow::Result<Conditioning> {
        if self.class.is_empty() && self.guide_with.is_none() && self.first_flag().is_none() {
            return Ok(Conditioning::every_class_of(&*loaded.net, &loaded.images));
        }
        self.conditioning(loaded)
    }

    /// The first given flag that controls how guidance is mixed in, with its value.
    fn mixing_flag(&self) -> Option<String> {
        let interval = self.guidance_interval.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        let interval = (!interval.is_empty()).then(|| format!("--guidance-interval {interval}"));
        interval.or_else(|| self.guidance_rescale.map(|value| format!("--guidance-rescale {value}")))
    }

    fn numbers(&self) -> anyhow::Result<Guidance> {
        let interval = match self.guidance_interval[..] {
            [] => (0.0, 1.0),
            [low, high] => (low, high),
            ref other => bail_usage!(
                "--guidance-interval {}: expected two numbers separated by a comma, such as 0.2,0.8",
                other.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
            ),
        };
        let (scale, rescale) = (self.guidance.unwrap_or(SCALE), self.guidance_rescale.unwrap_or(0.0));
        let guidance = Guidance { scale, interval, rescale };
        guidance.validate().map_err(in_flags)?;
        Ok(guidance)
    }

    /// Whether no flag is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.first_flag().is_none() && self.guide_with.is_none()
    }

    /// The settings besides class and scale.
    pub(crate) fn settings(&self) -> Vec<String> {
        let interval: Vec<String> = self.guidance_interval.iter().map(f64::to_string).collect();
        let interval = (!interval.is_empty()).then(|| format!("guidance interval {}", interval.join(" to ")));
        let rescale = self.guidance_rescale.map(|phi| format!("guidance rescale {phi}"));
        let guide = self.guide_with.as_ref().map(|guide| format!("guided with {}", guide.display()));
        [interval, rescale, guide].into_iter().flatten().collect()
    }

    fn first_flag(&self) -> Option<String> {
        let number = |flag: &str, value: Option<f64>| value.map(|value| format!("--{flag} {value}"));
        let list = |flag: &str, values: String| (!values.is_empty()).then(|| format!("--{flag} {values}"));
        let interval = self.guidance_interval.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        list("class", self.class.join(","))
            .or_else(|| number("guidance", self.guidance))
            .or_else(|| list("guidance-interval", interval))
            .or_else(|| number("guidance-rescale", self.guidance_rescale))
    }
}

/// Rewords a library error with the flag in place of the field.
fn in_flags(error: GuidanceError) -> anyhow::Error {
    let text = error.to_string().replacen("guidance scale = ", "--guidance ", 1);
    let text = text.replacen("guidance interval = ", "--guidance-interval ", 1);
    usage(anyhow!("{}", text.replacen("guidance rescale = ", "--guidance-rescale ", 1)))
}

/// The labels of a list of classes, all of which must be learned.
fn wanted(list: &[String], classes: usize, images: &ImagesConfig) -> anyhow::Result<Vec<i64>> {
    let (names, learned) = (&images.class_names, images.learned_classes(classes));
    let mut labels = Vec::new();
    for word in list {
        match label(word, classes, names)? {
            Some(label) if !learned.contains(&label) => {
                bail_usage!(
                    "--class {word}: no image of the data has this class, so the network has not learned it"
                )
            }
            Some(label) => labels.push(label),
            None if word == "all" => labels.extend(&learned),
            None => {
                let listed: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
                let more = if names.len() > LISTED { ", ..." } else { "" };
                let known = match listed.is_empty() {
                    true => String::new(),
                    false => format!(", or a name: {}{more}", listed.join(", ")),
                };
                if are_numbers(names) {
                    bail_usage!(
                        "--class {word}: expected the name of a class, {}{more}, or all",
                        listed.join(", ")
                    );
                }
                let hint = nearest(word, names.iter().map(String::as_str));
                let hint = hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                bail_usage!("--class {word}: expected {}, all{known}{hint}", range(classes));
            }
        }
    }
    Ok(labels)
}

/// Looks for the name as written, then in another case if that is unique, then takes the word as a number. `all` in
/// another case than a class is not a name.
fn label(word: &str, classes: usize, names: &[String]) -> anyhow::Result<Option<i64>> {
    let places = |matches: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..names.len()).filter(|&label| matches(&names[label])).collect()
    };
    let exact = places(&|name| name == word);
    let found = match exact.is_empty() && word != "all" {
        true => places(&|name| name.to_lowercase() == word.to_lowercase()),
        false => exact,
    };
    if let [first, second, ..] = found[..] {
        bail_usage!(
            "--class {word}: {} and {} both match (classes {first} and {second}); write the exact name or the number",
            names[first],
            names[second]
        );
    }
    let number = || word.parse().ok().filter(|&label| label < classes && !are_numbers(names));
    Ok(found.first().copied().or_else(number).map(|label| label as i64))
}

/// Whether the class names are numbers, as with folders 20, 21 and 30. Then numbers are not taken for labels.
fn are_numbers(names: &[String]) -> bool {
    !names.is_empty() && names.iter().all(|name| name.parse::<u64>().is_ok())
}

fn range(classes: usize) -> String {
    if classes == 1 { "0".to_owned() } else { format!("0 to {}", classes - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn wanted(list: &[String], classes: usize, names: &[String]) -> anyhow::Result<Vec<i64>> {
        let images = ImagesConfig { class_names: names.to_vec(), ..ImagesConfig::square(8, 1) };
        super::wanted(list, classes, &images)
    }

    #[test]
    fn the_exact_name_wins_and_an_ambiguous_one_is_refused() {
        let pets = names(&["Cat", "CAT", "dog", "All"]);
        let labels = |word: &str| wanted(&names(&[word]), 4, &pets);
        assert_eq!(labels("Cat").unwrap(), [0]);
        assert_eq!(labels("CAT").unwrap(), [1]);
        assert_eq!(labels("DOG").unwrap(), [2]);
        assert_eq!(labels("All").unwrap(), [3]);
        assert_eq!(labels("all").unwrap(), [0, 1, 2, 3]);
        let both = labels("cat").unwrap_err().to_string();
        assert!(both.contains("Cat and CAT") && both.contains("classes 0 and 1"), "{both}");
    }

    #[test]
    fn a_class_without_images_is_not_drawn() {
        let images = ImagesConfig { absent_classes: vec![1, 4], ..ImagesConfig::square(8, 1) };
        let labels = |word: &str| super::wanted(&names(&[word]), 5, &images);
        assert_eq!(labels("all").unwrap(), [0, 2, 3]);
        assert_eq!(labels("2").unwrap(), [2]);
        assert!(labels("4").unwrap_err().to_string().contains("--class 4: no image"));
        // A configuration of an earlier version, with fewer names than classes.
        assert!(wanted(&names(&["2"]), 3, &names(&["a", "b"])).unwrap_err().to_string().contains("no image"));
    }

    #[test]
    fn classes_go_by_name_and_number() {
        let shoes = names(&["Sandal", "Sneaker", "Ankle boot"]);
        let labels = |list: &[&str]| wanted(&names(list), 3, &shoes);
        assert_eq!(labels(&["2", "Sandal", "ankle BOOT"]).unwrap(), [2, 0, 2]);
        assert_eq!(labels(&["all"]).unwrap(), [0, 1, 2]);
        assert_eq!(labels(&["1", "all"]).unwrap(), [1, 0, 1, 2]);
        for wrong in ["3", "-1", "", "1.0", "Boot"] {
            let error = labels(&["0", wrong]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--class {wrong}: expected 0 to 2, all")), "{error}");
        }
        assert!(labels(&["Sneakr"]).unwrap_err().to_string().ends_with("did you mean Sneaker?"));
        // Networks may come without names.
        assert_eq!(wanted(&names(&["1"]), 2, &[]).unwrap(), [1]);
        assert!(wanted(&names(&["x"]), 1, &[]).unwrap_err().to_string().ends_with("expected 0, all"));
    }

    #[test]
    fn names_that_are_numbers_are_names() {
        let digits = names(&["1", "3", "7"]);
        assert_eq!(wanted(&names(&["7", "1"]), 3, &digits).unwrap(), [2, 0]);
        let error = wanted(&names(&["2"]), 3, &digits).unwrap_err().to_string();
        assert_eq!(error, "--class 2: expected the name of a class, 1, 3, 7, or all");
    }
}
