//! Groups of nearby points, from which a mixture is fitted: k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's rounds.

use random::Stream;
use tch::{Kind, Tensor};

use crate::error::MixtureError;

/// Rounds of moving the centres. The fit that follows corrects what they leave.
const ROUNDS: usize = 20;

/// The group of each of the points, f64 `[b, d]`, as a number in `0..count`: i64 `[b]`. Groups may be empty.
pub(crate) fn groups(points: &Tensor, count: usize, stream: &mut Stream) -> Result<Tensor, MixtureError> {
    let mut centres = first(points, count, stream)?;
    let mut groups = nearest(points, &centres)?;
    for _ in 0..ROUNDS {
        let member = one_hot(&groups, count)?; // [b, k]
        let sizes = member.f_sum_dim_intlist(0_i64, false, Kind::Double)?.f_unsqueeze(1)?;
        let sums = member.f_tr()?.f_matmul(points)?;
        // The centre of an empty group stays where it is.
        centres = sums.f_div(&sizes.f_clamp_min(1.0)?)?.f_where_self(&sizes.f_gt(0.0)?, &centres)?;
        groups = nearest(points, &centres)?;
    }
    Ok(groups)
}

/// The groups as rows of zeros with a single one: f64 `[b, count]`.
pub(crate) fn one_hot(groups: &Tensor, count: usize) -> Result<Tensor, MixtureError> {
    Ok(groups.f_one_hot(count as i64)?.f_to_kind(Kind::Double)?)
}

/// Points that are far from each other, as centres: f64 `[count, d]`.
fn first(points: &Tensor, count: usize, stream: &mut Stream) -> Result<Tensor, MixtureError> {
    let rows = points.size()[0];
    let mut chosen = vec![stream.below(rows as u32) as i64];
    let mut far: Option<Tensor> = None;
    while chosen.len() < count {
        let last = points.f_narrow(0, chosen[chosen.len() - 1], 1)?;
        let to_last = points.f_sub(&last)?.f_square()?.f_sum_dim_intlist(1_i64, false, Kind::Double)?;
        let nearest = match far {
            Some(far) => far.f_minimum(&to_last)?,
            None => to_last,
        };
        let sums = Vec::<f64>::try_from(&nearest.f_cumsum(0, Kind::Double)?)?;
        // With the square of the distance as the odds. All of them are 0 where there are fewer different points than centres.
        let drawn = stream.uniform() * sums.last().copied().unwrap_or(0.0);
        chosen.push(sums.partition_point(|&sum| sum <= drawn).min(sums.len() - 1) as i64);
        far = Some(nearest);
    }
    Ok(points.f_index_select(0, &Tensor::f_from_slice(&chosen)?)?)
}

fn nearest(points: &Tensor, centres: &Tensor) -> Result<Tensor, MixtureError> {
    // The square of a point is the same for all centres.
    let squares = centres.f_square()?.f_sum_dim_intlist(1_i64, false, Kind::Double)?;
    let products = points.f_matmul(&centres.f_tr()?)?.f_mul_scalar(2.0)?;
    Ok(squares.f_sub(&products)?.f_argmin(1, false)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::Purpose;

    #[test]
    fn separate_groups_are_found_whatever_the_seed() {
        let centres = [[0.0_f32, 0.0], [900.0, 0.0], [0.0, 900.0], [900.0, 900.0]];
        for seed in 0..20 {
            let mut stream = Stream::new(seed, Purpose::Figure, 0, 0);
            let values: Vec<f32> = (0..200)
                .flat_map(|i| {
                    let z = stream.normals(2);
                    [centres[i % 4][0] + z[0], centres[i % 4][1] + z[1]]
                })
                .collect();
            let points = tensor_io::from_slice(&values, &[200, 2]).unwrap().to_kind(Kind::Double);
            let groups = Vec::<i64>::try_from(&groups(&points, 4, &mut stream).unwrap()).unwrap();
            for i in 0..200 {
                assert_eq!(groups[i], groups[i % 4], "seed {seed}, point {i}");
                assert!(i % 4 == 0 || groups[i] != groups[0], "seed {seed}, point {i}");
            }
        }
    }

    /// More groups than different points: some stay empty, and nothing is divided by 0.
    #[test]
    fn groups_may_be_empty() {
        let points = Tensor::from_slice(&[1.0, 1.0, 1.0, 2.0]).view([4, 1]);
        let mut stream = Stream::new(1, Purpose::Figure, 0, 0);
        let groups = Vec::<i64>::try_from(&groups(&points, 4, &mut stream).unwrap()).unwrap();
        assert!(groups[0] == groups[1] && groups[1] == groups[2] && groups[2] != groups[3], "{groups:?}");
    }
}
