//! Convolution, group normalisation and attention by their definitions, in f64 loops: what libtorch's fast
//! kernels are compared with.

use ndarray::{Array1, Array3, Array4, Axis};

/// `y[b, o, i, j] = bias[o] + sum x[b, c, i + u - 1, j + v - 1] w[o, c, u, v]`, 3x3 with a border of zeros.
/// `x` `[b, c, h, w]`, `weight` `[o, c, 3, 3]`, `bias` `[o]` to `[b, o, h, w]`.
pub(super) fn conv3x3(x: &Array4<f64>, weight: &Array4<f64>, bias: &Array1<f64>) -> Array4<f64> {
    let (batch, _, height, width) = x.dim();
    let outputs = weight.dim().0;
    // i and j count from the border, which is row 0 and column 0.
    let pixel = |b: usize, c: usize, i: usize, j: usize| match (i.checked_sub(1), j.checked_sub(1)) {
        (Some(i), Some(j)) => x.get([b, c, i, j]).copied().unwrap_or(0.0),
        _ => 0.0,
    };
    Array4::from_shape_fn((batch, outputs, height, width), |(b, o, i, j)| {
        let kernel = weight.index_axis(Axis(0), o); // [c, 3, 3]
        bias[o] + kernel.indexed_iter().map(|((c, u, v), w)| w * pixel(b, c, i + u, j + v)).sum::<f64>()
    })
}

/// Normalises each group of channels to mean 0 and variance 1, then scales and shifts each channel.
/// `x` `[b, c, h, w]`, `weight` and `bias` `[c]` to `[b, c, h, w]`.
pub(super) fn group_norm(
    x: &Array4<f64>,
    groups: usize,
    weight: &Array1<f64>,
    bias: &Array1<f64>,
    eps: f64,
) -> Array4<f64> {
    let size = x.dim().1 / groups;
    let mut out = x.clone();
    for mut image in out.outer_iter_mut() {
        for mut group in image.axis_chunks_iter_mut(Axis(0), size) {
            let mean = group.sum() / group.len() as f64;
            let variance = group.mapv(|value| (value - mean).powi(2)).sum() / group.len() as f64;
            group.mapv_inplace(|value| (value - mean) / (variance + eps).sqrt());
        }
        for (c, mut channel) in image.outer_iter_mut().enumerate() {
            channel.mapv_inplace(|value| value * weight[c] + bias[c]);
        }
    }
    out
}

/// `softmax(q k^T / sqrt(d)) v` for each element of the batch; all `[b, n, d]`.
pub(super) fn attention(q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>) -> Array3<f64> {
    let scale = (q.dim().2 as f64).sqrt();
    let mut out = Array3::zeros(q.dim());
    for (b, mut mixed) in out.outer_iter_mut().enumerate() {
        let of = |x: &Array3<f64>| x.index_axis(Axis(0), b).to_owned(); // [n, d]
        let mut weights = (of(q).dot(&of(k).t()) / scale).mapv(f64::exp); // [n, n]
        for mut row in weights.rows_mut() {
            let sum = row.sum();
            row /= sum;
        }
        mixed.assign(&weights.dot(&of(v)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_one_point_shifts_the_image() {
        let x = Array4::from_shape_fn((1, 1, 3, 3), |(_, _, i, j)| (3 * i + j) as f64);
        let mut weight = Array4::zeros((1, 1, 3, 3));
        weight[[0, 0, 0, 1]] = 2.0;
        let y = conv3x3(&x, &weight, &Array1::from_elem(1, 1.0));
        // The row above, doubled, plus 1; a border of zeros above the first row.
        assert_eq!(y.iter().copied().collect::<Vec<_>>(), [1., 1., 1., 1., 3., 5., 7., 9., 11.]);
    }

    #[test]
    fn each_group_is_normalised_on_its_own() {
        let x = Array4::from_shape_fn((1, 2, 1, 2), |(_, c, _, j)| (10 * c) as f64 + j as f64);
        let y = group_norm(&x, 2, &Array1::from_elem(2, 3.0), &Array1::from_elem(2, 1.0), 0.0);
        assert_eq!(y.iter().copied().collect::<Vec<_>>(), [-2., 4., -2., 4.]);
    }

    #[test]
    fn equal_keys_average_the_values() {
        let q = Array3::from_elem((1, 2, 2), 0.7);
        let v = Array3::from_shape_fn((1, 2, 2), |(_, n, d)| (2 * n + d) as f64);
        let y = attention(&q, &q, &v);
        for value in y.rows() {
            assert!((value[0] - 1.0).abs() < 1e-12 && (value[1] - 2.0).abs() < 1e-12);
        }
    }
}
