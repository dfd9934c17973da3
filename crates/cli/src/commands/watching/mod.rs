//! Shows how images emerge from noise. At some moments of the chain its first images are kept, to be drawn as a strip
//! and as an animation, or shown during sampling.

mod moments;
mod preview;
mod trajectory;

use anyhow::anyhow;
use clap::Args;
use sampler::Step;

use crate::commands::watching::moments::{FINISHED, Moments};
use crate::commands::watching::preview::Preview;
pub(crate) use crate::commands::watching::trajectory::Trajectory;
use crate::commands::watching::trajectory::{Animated, Frame};
use crate::failure::{bail_usage, usage};
use crate::model::Loaded;
use crate::paths::OutputFile;

/// Moments of a preview, if no trajectory sets the number.
const PREVIEWS: usize = 20;

/// Flags for watching the chain from noise to image.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchingArgs {
    /// Draw the first images at 2 to 64 moments of the chain: trajectory.png, and the animation trajectory.gif
    #[arg(long, value_name = "K")]
    trajectory: Option<usize>,
    /// File format of the animation: gif, or apng, which keeps every colour [default: gif]
    #[arg(long, value_name = "FORMAT")]
    animation: Option<String>,
    /// While sampling, keep this picture updated with the current x_0 predictions of the batch, for an image viewer
    #[arg(long, value_name = "FILE.png")]
    preview: Option<OutputFile>,
}

impl WatchingArgs {
    /// Refuses what is wrong for any network and sampler.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        if let Some(count) = self.trajectory {
            moments::check(count)?;
        }
        if self.animation.is_some() && self.trajectory.is_none() {
            bail_usage!("--animation needs --trajectory K, the number of frames");
        }
        self.animated()?;
        self.preview.as_deref().map_or(Ok(()), preview::check)
    }

    /// The file names of a trajectory.
    pub(crate) fn names(&self) -> Vec<String> {
        let animation = format!("trajectory.{}", self.animation.as_deref().unwrap_or("gif"));
        self.trajectory.map_or_else(Vec::new, |_| vec!["trajectory.png".to_owned(), animation])
    }

    /// Whether something is to be watched.
    pub(crate) fn is_wanted(&self) -> bool {
        self.trajectory.is_some() || self.preview.is_some()
    }

    /// Prepares watching a chain of `steps` steps that draws `count` images.
    pub(crate) fn build<'a>(
        &self,
        loaded: &'a Loaded,
        steps: usize,
        count: usize,
    ) -> anyhow::Result<Watching<'a>> {
        let moments = match (self.trajectory, &self.preview) {
            (Some(count), _) => Some(Moments::new(steps, count)?),
            (None, Some(_)) => Some(Moments::new(steps, PREVIEWS.min(steps + 1))?),
            (None, None) => None,
        };
        let trajectory = match (&moments, self.trajectory) {
            (Some(moments), Some(_)) => {
                Some(Trajectory::new(moments.count(), count, &loaded.images, self.animated()?)?)
            }
            _ => None,
        };
        let preview = self.preview.as_deref().map(|path| Preview::new(path.to_owned(), &loaded.images));
        Ok(Watching { moments, trajectory, preview })
    }

    fn animated(&self) -> anyhow::Result<Animated> {
        let name = self.animation.as_deref().unwrap_or("gif");
        name.parse().map_err(|e| usage(anyhow!("--animation {name}: {e}")))
    }
}

/// Watches one sampling run.
pub(crate) struct Watching<'a> {
    /// `None` if nothing is watched.
    moments: Option<Moments>,
    trajectory: Option<Trajectory<'a>>,
    preview: Option<Preview<'a>>,
}

impl<'a> Watching<'a> {
    /// Sees a step of the batch whose first image is `first`.
    pub(crate) fn see(&mut self, first: usize, step: &Step<'_>) -> anyhow::Result<()> {
        let Some(moments) = &self.moments else { return Ok(()) };
        let before =
            moments.after(step.index).map(|index| Frame { index, t: step.t, x_t: step.x_t, x_0: step.x_0 });
        // The samples count as predictions as well.
        let finished = if step.index + 1 == step.of { moments.after(step.of) } else { None }
            .map(|index| Frame { index, t: FINISHED, x_t: step.x_prev, x_0: step.x_prev });
        for frame in before.into_iter().chain(finished) {
            if let Some(trajectory) = &mut self.trajectory {
                trajectory.keep(first, &frame)?;
            }
            if let Some(preview) = &mut self.preview {
                preview.show(frame.x_0)?;
            }
        }
        Ok(())
    }

    /// What was kept, after all batches.
    pub(crate) fn into_trajectory(self) -> Option<Trajectory<'a>> {
        self.trajectory
    }
}
