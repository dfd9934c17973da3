//! Memory layouts of the same numbers, and forms in which a gradient comes back.

use tch::{Kind, Tensor};

/// A layout or a loss, with its name for failure messages.
pub(crate) struct Named<F: ?Sized> {
    pub(crate) name: String,
    pub(crate) of: Box<F>,
}

/// Maps a tensor to one of the same size in another layout. All but the expanded ones also have the same numbers.
pub(crate) type Layout = Named<dyn Fn(&Tensor) -> Tensor>;

/// Maps a result to a number, whose gradient comes back in some layout.
pub(crate) type Loss = Named<dyn Fn(&Tensor) -> Tensor>;

fn named(name: impl Into<String>, of: impl Fn(&Tensor) -> Tensor + 'static) -> Layout {
    Named { name: name.into(), of: Box::new(of) }
}

/// The same numbers each time, none of them 0, and all representable in bf16.
pub(crate) fn numbers(size: &[i64], stream: u64, kind: Kind) -> Tensor {
    let count = size.iter().product::<i64>() as usize;
    let values = random::Stream::new(23, random::Purpose::Figure, stream, 0).normals(count);
    let values: Vec<f32> = values.iter().map(|x| if x.abs() < 0.1 { 0.5 } else { *x }).collect();
    Tensor::from_slice(&values).view(size).to_kind(Kind::BFloat16).to_kind(kind)
}

/// Orders of the dimensions for a tensor with `rank` of them.
fn orders(rank: usize) -> Vec<Vec<i64>> {
    match rank {
        4 => [[0, 2, 3, 1], [3, 0, 2, 1], [1, 0, 2, 3], [0, 1, 3, 2], [2, 3, 1, 0], [3, 2, 1, 0]]
            .map(Vec::from)
            .into(),
        2 => vec![vec![1, 0]],
        _ => Vec::new(),
    }
}

fn inverse(order: &[i64]) -> Vec<i64> {
    let place = |dim| order.iter().position(|&other| other == dim as i64).unwrap() as i64;
    (0..order.len()).map(place).collect()
}

/// The layouts of a tensor of this size.
pub(crate) fn layouts(size: &[i64]) -> Vec<Layout> {
    let mut all = vec![
        named("contiguous", |x| x.shallow_clone()),
        named("every second number", |x| Tensor::stack(&[&x.zeros_like(), x], -1).select(-1, 1)),
        named("with a dimension put in front and taken away", |x| x.unsqueeze(0).squeeze_dim(0)),
        named("marked as negated", |x| {
            Tensor::complex(&f32_or_more(&x.zeros_like()), &-f32_or_more(x)).conj().imag()
        }),
        named("free strides of dimensions of size 1", |x| {
            let mut strides = x.contiguous().stride();
            for (stride, size) in strides.iter_mut().zip(x.size()) {
                if size == 1 {
                    *stride = 1009;
                }
            }
            x.contiguous().as_strided(x.size(), strides, None::<i64>)
        }),
    ];
    for order in orders(size.len()) {
        let back = inverse(&order);
        all.push(named(format!("in memory as {order:?}"), move |x| {
            x.permute(&order[..]).contiguous().permute(&back[..])
        }));
    }
    for dim in 0..size.len() as i64 {
        all.push(named(format!("a slice with an offset of dimension {dim}"), move |x| {
            let count = x.size()[dim as usize];
            Tensor::cat(&[&x.zeros_like(), x, &x.zeros_like()], dim).narrow(dim, count, count)
        }));
        if size[dim as usize] > 0 {
            all.push(named(format!("expanded along dimension {dim}"), move |x| {
                x.narrow(dim, 0, 1).expand(x.size(), false)
            }));
        }
        if size[dim as usize] == 1 {
            all.push(named(format!("dimension {dim} taken away and put back"), move |x| {
                x.squeeze_dim(dim).unsqueeze(dim)
            }));
        }
    }
    if !size.contains(&0) {
        all.push(named("one number for all", |x| {
            x.flatten(0, -1).narrow(0, 0, 1).view(vec![1; x.dim()].as_slice()).expand(x.size(), false)
        }));
    }
    all
}

/// Complex numbers, which the negated flag needs, do not exist in bf16.
fn f32_or_more(x: &Tensor) -> Tensor {
    if x.kind() == Kind::BFloat16 { x.to_kind(Kind::Float) } else { x.shallow_clone() }
}

/// The sum of all products with fixed numbers.
fn product(x: &Tensor) -> Tensor {
    (x * numbers(&x.size(), 90, x.kind())).sum(Kind::Double)
}

/// The losses of a result of this size.
pub(crate) fn losses(size: &[i64]) -> Vec<Loss> {
    let rank = size.len() as i64;
    let mut all = vec![
        named("a product", product),
        named("a sum, whose gradient is one number for all", |z| z.sum(Kind::Double) * 0.5),
        named("the sum of what is laid flat", |z| product(&z.reshape([-1]))),
        named("a product with a dimension in front", |z| product(&z.unsqueeze(0))),
        named("a gradient that is marked as negated", |z| {
            let z = f32_or_more(z);
            product(&Tensor::complex(&z.zeros_like(), &z).conj().imag())
        }),
    ];
    for order in orders(size.len()) {
        let taken = order.clone();
        all.push(named(format!("a product in the order {order:?}"), move |z| {
            product(&z.permute(&order[..]))
        }));
        if let Some(place) = taken.iter().position(|&dim| size[dim as usize] == 1) {
            all.push(named(format!("in the order {taken:?}, without dimension {place}"), move |z| {
                product(&z.permute(&taken[..]).squeeze_dim(place as i64))
            }));
        }
    }
    for dim in 0..rank {
        all.push(named(format!("sums along dimension {dim}"), move |z| {
            product(&z.sum_dim_intlist([dim].as_slice(), false, z.kind()))
        }));
        all.push(named(format!("between others in dimension {dim}"), move |z| {
            product(&Tensor::cat(&[&z.zeros_like(), z, &z.zeros_like()], dim))
        }));
        all.push(named(format!("twice, along a new dimension {dim}"), move |z| {
            product(&Tensor::stack(&[&z.zeros_like(), z], dim))
        }));
        all.push(named(format!("the first of dimension {dim}"), move |z| {
            product(&z.narrow(dim, 0, z.size()[dim as usize].min(1)))
        }));
        if size[dim as usize] == 1 {
            all.push(named(format!("without dimension {dim}"), move |z| product(&z.squeeze_dim(dim))));
        }
    }
    all
}

/// The distance of `got` from `want`, relative to the size of that plus one for each number.
pub(crate) fn apart(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    if want.numel() == 0 {
        return 0.0;
    }
    let (got, want) = (got.to_kind(Kind::Double), want.to_kind(Kind::Double));
    let norm = |x: &Tensor| f64::try_from(x.norm()).unwrap();
    norm(&(got - &want)) / (norm(&want) + (want.numel() as f64).sqrt())
}
