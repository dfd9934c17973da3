//! Figure 20: the bits of an image by t, as measured by `ddpm evaluate`.

use figures::{Bits, Figure};

use crate::commands::figures::subject::Subject;

/// The figure, or the reason for leaving it out.
pub(super) fn bits(subject: &Subject) -> anyhow::Result<Result<Figure, String>> {
    let evaluation = subject.evaluation.as_ref().ok().and_then(Option::as_ref);
    let Some(bits) = evaluation.and_then(|evaluation| evaluation.bits.as_ref()) else {
        return Ok(Err("the run has no evaluation with bits/dim; run `ddpm evaluate`".to_owned()));
    };
    if bits.by_t.is_empty() {
        return Ok(Err("the newest evaluation has no bits by t".to_owned()));
    }
    Ok(Ok(figures::bits(&Bits { by_t: &bits.by_t, prior: bits.prior, total: bits.total, images: bits.n })?))
}
