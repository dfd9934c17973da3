//! A network of your own for trainer and samplers: `cargo run -p backbone --example own_network`.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use backbone::config::{Activation, EmbeddingConfig};
use backbone::layers::{Conv2d, Init, Kernel};
use backbone::tch::{Device, Kind, Tensor};
use backbone::{Backbone, BackboneError, Facts, Named, ParamStore, Params, Pass, Predictor, TimeNet};

type Result<T> = std::result::Result<T, BackboneError>;

/// Two convolutions of colour images; the time is added between them.
struct Small {
    time: TimeNet,
    first: Conv2d,
    last: Conv2d,
    params: Params,
}

const FACTS: Facts =
    Facts { in_channels: 3, out_channels: 3, multiple: 1, classes: None, augmented: false, timesteps: 1000 };

fn small(mut store: ParamStore) -> Result<Small> {
    let embedding = EmbeddingConfig::Normalized { frequencies: 8 };
    Ok(Small {
        time: TimeNet::new(&mut store, &embedding, (FACTS.timesteps, 16), (None, false))?,
        first: Conv2d::new(&mut store, "first", (3, 16), Kernel::THREE, Init::FanAverage)?,
        last: Conv2d::new(&mut store, "last", (16, 3), Kernel::THREE, Init::FanAverage)?,
        params: store.into_params(),
    })
}

impl Backbone for Small {
    fn facts(&self) -> Facts {
        FACTS
    }
    fn parameters(&self) -> &Params {
        &self.params
    }
    fn with_parameters(&self, params: Vec<Named>) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(small(ParamStore::given(self.device(), params))?))
    }
    fn forward(&self, x: &Tensor, t: &Tensor, class: Option<&Tensor>, pass: &Pass) -> Result<Tensor> {
        self.check(x, t, class)?;
        let time = self.time.forward(t, class, Activation::Silu, pass)?; // [b, 16]
        let shift = time.f_to_kind(pass.kind)?.f_view([-1, 16, 1, 1])?;
        let hidden = self.first.forward(&pass.layout(x)?, pass)?.f_add(&shift)?.f_silu()?;
        Ok(self.last.forward(&hidden, pass)?.f_to_kind(Kind::Float)?)
    }
}

fn main() -> Result<()> {
    let net = small(ParamStore::new(Device::Cpu, 0))?;
    println!("{} parameters in {} tensors", net.param_count(), net.params().len());
    let x_t = Tensor::f_ones([2, 3, 16, 16], (Kind::Float, Device::Cpu))?;
    let eps =
        Predictor::new(&net, &Pass::eval())?.predict(&x_t, &Tensor::f_from_slice(&[0_i64, 999])?, None)?;
    let apart = eps.f_get(0)?.f_sub(&eps.f_get(1)?)?.f_abs()?.f_max()?.f_double_value(&[])?;
    println!("prediction {:?}; those for t = 0 and t = 999 differ by up to {apart:.3}", eps.size());
    Ok(())
}
