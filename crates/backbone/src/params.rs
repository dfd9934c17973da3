//! Named parameters, created in a fixed order from a seed.

use random::{Purpose, Stream};
use tch::{Device, Kind, Tensor};
use tensor_io::Named;

use crate::adapters::merged;
use crate::error::BackboneError;
use crate::pass::Pass;

/// The role of a parameter, which determines the type it is computed in. The code that creates a parameter sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The weight of a convolution.
    Convolution,
    /// The weight of a linear layer on the time vector.
    Time,
    /// The weight of a linear layer on pixels or tokens, in the type of the pass.
    Tokens,
    /// Norms, tables of classes, and biases of convolutions: f32.
    Other,
}

/// The parameters of a network.
pub struct Params {
    named: Vec<Named>,
    roles: Vec<Role>,
    device: Device,
}

impl Params {
    /// The parameters in the order of creation.
    pub fn named(&self) -> &[Named] {
        &self.named
    }

    /// The device of the parameters.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Copies in the types and layout of a pass, with adapters merged into their weights.
    pub(crate) fn prepared(&self, pass: &Pass) -> Result<Vec<Named>, BackboneError> {
        let _no_grad = tch::no_grad_guard();
        let plain = merged(&self.named)?;
        let roles = self.named.iter().zip(&self.roles).filter(|((name, _), _)| !config::is_adapter(name));
        let copy = |((name, param), role): (&Named, &Role)| {
            let param = param.f_detach()?;
            let param = match role {
                Role::Convolution => pass.layout(&param)?,
                Role::Time => param.f_to_kind(pass.time_kind(self.device))?,
                Role::Tokens => param.f_to_kind(pass.kind)?,
                Role::Other => param,
            };
            // The conversion may not have made a copy.
            let mut own = param.f_empty_like()?;
            own.f_copy_(&param)?;
            Ok((name.clone(), own))
        };
        plain.iter().zip(roles.map(|(_, role)| role)).map(copy).collect()
    }
}

/// Collects the parameters while a network is built.
pub struct ParamStore {
    params: Params,
    origin: Origin,
    adapter_rank: Option<usize>,
}

/// The source of the parameters.
enum Origin {
    /// Drawn from a seed, for training.
    Seed(u64),
    /// Taken from another network, in the order of building.
    Given(std::vec::IntoIter<Named>),
}

impl ParamStore {
    /// Parameters drawn from a seed, for training.
    #[must_use]
    pub fn new(device: Device, seed: u64) -> Self {
        Self::of(device, Origin::Seed(seed))
    }

    /// Takes the parameters of another network of the same shape unchanged.
    #[must_use]
    pub fn given(device: Device, params: Vec<Named>) -> Self {
        Self::of(device, Origin::Given(params.into_iter()))
    }

    fn of(device: Device, origin: Origin) -> Self {
        Self { params: Params { named: Vec::new(), roles: Vec::new(), device }, origin, adapter_rank: None }
    }

    /// The same for a network whose layers get adapters of this rank, see [`crate::merged`].
    #[must_use]
    pub fn with_adapters(self, adapter_rank: Option<usize>) -> Self {
        Self { adapter_rank, ..self }
    }

    /// The rank of the layers' adapters.
    pub(crate) fn adapter_rank(&self) -> Option<usize> {
        self.adapter_rank
    }

    /// The device for the parameters.
    #[must_use]
    pub fn device(&self) -> Device {
        self.params.device
    }

    /// All parameters created so far.
    #[must_use]
    pub fn into_params(self) -> Params {
        self.params
    }

    /// Uniform in `[-bound, bound]`. The values depend only on the seed and the parameter's position, so every device
    /// starts from the same network.
    ///
    /// # Errors
    /// [`BackboneError::Shape`] when given parameters do not match; errors from libtorch, such as lack of memory.
    pub fn uniform(
        &mut self,
        name: String,
        shape: &[i64],
        bound: f64,
        role: Role,
    ) -> Result<Tensor, BackboneError> {
        let position = self.params.named.len() as u64;
        self.register(name, shape, role, |seed| {
            let mut stream = Stream::new(seed, Purpose::Init, position, 0);
            let count = shape.iter().product::<i64>() as usize;
            let values: Vec<f32> =
                (0..count).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32).collect();
            Ok(tensor_io::from_slice(&values, shape)?)
        })
    }

    /// A constant.
    ///
    /// # Errors
    /// The same as for [`ParamStore::uniform`].
    pub fn constant(
        &mut self,
        name: String,
        shape: &[i64],
        value: f64,
        role: Role,
    ) -> Result<Tensor, BackboneError> {
        self.register(name, shape, role, |_| Ok(Tensor::f_full(shape, value, (Kind::Float, Device::Cpu))?))
    }

    fn register(
        &mut self,
        name: String,
        shape: &[i64],
        role: Role,
        draw: impl FnOnce(u64) -> Result<Tensor, BackboneError>,
    ) -> Result<Tensor, BackboneError> {
        let param = match &mut self.origin {
            Origin::Seed(seed) => draw(*seed)?.f_to_device(self.params.device)?.f_set_requires_grad(true)?,
            Origin::Given(params) => match params.next() {
                Some((given, param)) if given == name && param.size() == shape => param,
                other => {
                    let got = other.map(|(_, param)| param.size()).unwrap_or_default();
                    let expected = format!("{shape:?}, that of {name}");
                    return Err(BackboneError::Shape { what: "a parameter", got, expected });
                }
            },
        };
        self.params.named.push((name, param.shallow_clone()));
        self.params.roles.push(role);
        Ok(param)
    }
}
