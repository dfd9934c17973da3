//! A mean over images and its uncertainty.

/// Values of images, their mean, and an interval for the mean over all images of that kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The value of each image, in bits per dimension, in the order of the input.
    pub per_image: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// The standard error of the mean: the deviation between images over the root of their number. It includes the
    /// noise of what was drawn for each image. `None` for one image.
    pub standard_error: Option<f64>,
    /// The 95 % interval of the mean by Student's t distribution. `None` for one image.
    pub interval: Option<(f64, f64)>,
}

impl Summary {
    /// Summarises at least one value.
    pub(crate) fn of(per_image: Vec<f64>) -> Self {
        let n = per_image.len() as f64;
        let mean = per_image.iter().sum::<f64>() / n;
        let (standard_error, interval) = if per_image.len() < 2 {
            (None, None)
        } else {
            let squares: f64 = per_image.iter().map(|value| (value - mean).powi(2)).sum();
            let error = (squares / (n - 1.0) / n).sqrt();
            let half = student_975(per_image.len() - 1) * error;
            (Some(error), Some((mean - half, mean + half)))
        };
        Self { per_image, mean, standard_error, interval }
    }
}

/// The 0.975 quantile of Student's t distribution: exact for 1 and 2 degrees of freedom, else by its expansion around the normal
/// one (Abramowitz & Stegun 1964, 26.7.5), within 0.2 % from 3 on.
fn student_975(freedom: usize) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    let n = freedom as f64;
    match freedom {
        1 => 12.706_204_736_174_7,
        2 => 4.302_652_729_749_46,
        _ => {
            let power = |k: i32| Z.powi(k);
            let g_1 = (power(3) + Z) / 4.0;
            let g_2 = (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / 96.0;
            let g_3 = (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / 384.0;
            let g_4 =
                (79.0 * power(9) + 776.0 * power(7) + 1482.0 * power(5) - 1920.0 * power(3) - 945.0 * Z)
                    / 92160.0;
            Z + g_1 / n + g_2 / n.powi(2) + g_3 / n.powi(3) + g_4 / n.powi(4)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(0.975, n)`.
    #[test]
    fn quantiles_of_student() {
        for (freedom, want) in [
            (1, 12.706_205),
            (2, 4.302_653),
            (3, 3.182_446),
            (4, 2.776_445),
            (5, 2.570_582),
            (10, 2.228_139),
            (30, 2.042_272),
            (1000, 1.962_339),
        ] {
            let got = student_975(freedom);
            assert!((got / want - 1.0).abs() < 2e-3, "{freedom}: {got} is not {want}");
        }
    }

    #[test]
    fn a_summary_by_hand() {
        let got = Summary::of(vec![1.0, 2.0, 3.0, 6.0]);
        assert_eq!(got.mean, 3.0);
        let error = (14.0_f64 / 3.0 / 4.0).sqrt();
        assert!((got.standard_error.unwrap() - error).abs() < 1e-15);
        let (low, high) = got.interval.unwrap();
        assert!((high - low - 2.0 * 3.182_446 * error).abs() < 0.01 && (low + high - 6.0).abs() < 1e-12);
        assert_eq!(Summary::of(vec![1.0]).interval, None);
    }
}
