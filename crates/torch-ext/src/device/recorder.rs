//! Work that is repeated with new numbers: on a GPU it is recorded once and then submitted as a whole. A network is about a
//! thousand kernels, and launching each takes longer on a fast GPU than the work itself.

use std::fmt::Display;

use tch::{Device, Tensor};

use super::graph::Graph;
use super::stream::{Side, synchronize};
use super::transfer::copy_ahead;
use crate::error::TorchExtError;
use crate::generator::index;

/// Runs before the recording: in the first runs, libraries choose their algorithms and allocate workspaces.
const WARM_UP: u32 = 3;

/// The function to call: tensors to tensors.
pub type Function<'a, E> = dyn FnMut(&[&Tensor]) -> Result<Vec<Tensor>, E> + 'a;

/// A function of tensors that is called many times.
///
/// On the CPU the function runs each time. On a GPU the first calls run too, the next one is recorded, and all later ones
/// replay the recording on the inputs of the call, without calling the function. So the function must do the same for all
/// inputs of the same shapes, and must not wait for the device or read a number from it. Apart from its results it may only
/// change tensors on the device. Random numbers continue from the generator's state at each call. A function that cannot be
/// recorded runs each time, and so do calls whose inputs have other shapes than the first.
///
/// Every replay returns the same tensors: copy them to keep them beyond the next call.
pub struct Recorder {
    /// `None` on the CPU.
    gpu: Option<Steps<Gpu>>,
}

impl Recorder {
    /// Creates a recorder for a function of tensors on `device`.
    ///
    /// # Errors
    /// [`TorchExtError::UnknownDevice`]; [`TorchExtError::Torch`] when there is no such GPU.
    pub fn new(device: Device) -> Result<Self, TorchExtError> {
        let cuda = index("recorder", device)?;
        let gpu = (cuda >= 0).then(|| Side::new(cuda).map(|side| Steps::new(Gpu { cuda, side }, device)));
        Ok(Self { gpu: gpu.transpose()? })
    }

    /// The same, for a function that is known to be unrecordable: it runs each time.
    ///
    /// # Errors
    /// The same as for [`Recorder::new`].
    pub fn without_recording(device: Device) -> Result<Self, TorchExtError> {
        let mut recorder = Self::new(device)?;
        if let Some(steps) = &mut recorder.gpu {
            steps.state = State::GivenUp("not asked for".to_owned());
        }
        Ok(recorder)
    }

    /// Returns the function's results for these inputs. Inputs may be on the host; the copy does not wait if they are
    /// pinned.
    ///
    /// # Errors
    /// Errors of the function, and [`TorchExtError`].
    pub fn call<E: Display + From<TorchExtError>>(
        &mut self,
        inputs: &[&Tensor],
        function: &mut Function<'_, E>,
    ) -> Result<Vec<Tensor>, E> {
        match &mut self.gpu {
            Some(steps) => steps.call(inputs, function),
            None => function(inputs),
        }
    }

    /// Whether calls are now replays.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.gpu.as_ref().is_some_and(|steps| matches!(steps.state, State::Recorded { .. }))
    }

    /// Why the function could not be recorded, if recording was tried.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        match self.gpu.as_ref().map(|steps| &steps.state) {
            Some(State::GivenUp(why)) => Some(why),
            _ => None,
        }
    }
}

/// The operations needed from a GPU, so that the order of calls can be tested without one.
trait Machine {
    type Graph;
    /// Runs `body` on a stream that can be recorded.
    fn run<R>(&mut self, body: impl FnOnce() -> R) -> Result<R, TorchExtError>;
    fn record<R, E: From<TorchExtError>>(
        &mut self,
        body: impl FnOnce() -> Result<R, E>,
    ) -> Result<(Self::Graph, R), E>;
    fn replay(&mut self, graph: &Self::Graph) -> Result<(), TorchExtError>;
}

struct Gpu {
    cuda: i32,
    side: Side,
}

impl Machine for Gpu {
    type Graph = Graph;

    fn run<R>(&mut self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
        self.side.run(body)
    }

    fn record<R, E: From<TorchExtError>>(
        &mut self,
        body: impl FnOnce() -> Result<R, E>,
    ) -> Result<(Graph, R), E> {
        let cuda = self.cuda;
        // Finish all work first: nobody may query running work during the recording.
        self.side.run(|| synchronize(cuda).map_err(E::from).and_then(|()| Graph::record(body)))?
    }

    fn replay(&mut self, graph: &Graph) -> Result<(), TorchExtError> {
        graph.replay()
    }
}

enum State<G> {
    Warming(u32),
    Recorded { graph: G, outputs: Vec<Tensor> },
    GivenUp(String),
}

struct Steps<M: Machine> {
    machine: M,
    device: Device,
    /// Input buffers of the recording: the inputs of a call are copied here.
    inputs: Vec<Tensor>,
    state: State<M::Graph>,
}

impl<M: Machine> Steps<M> {
    fn new(machine: M, device: Device) -> Self {
        Self { machine, device, inputs: Vec::new(), state: State::Warming(0) }
    }

    fn call<E: Display + From<TorchExtError>>(
        &mut self,
        inputs: &[&Tensor],
        function: &mut Function<'_, E>,
    ) -> Result<Vec<Tensor>, E> {
        if self.inputs.is_empty() {
            self.inputs = inputs.iter().map(|input| self.like(input)).collect::<Result<_, _>>()?;
        }
        let same =
            |(mine, input): (&Tensor, &&Tensor)| mine.size() == input.size() && mine.kind() == input.kind();
        if inputs.len() != self.inputs.len() || !self.inputs.iter().zip(inputs).all(same) {
            let moved = inputs.iter().map(|input| self.like(input)).collect::<Result<Vec<_>, _>>()?;
            moved.iter().zip(inputs).try_for_each(|(to, from)| copy_ahead(to, from))?;
            return self.machine.run(|| function(&moved.iter().collect::<Vec<_>>()))?;
        }
        self.inputs.iter().zip(inputs).try_for_each(|(mine, input)| copy_ahead(mine, input))?;
        let mine: Vec<&Tensor> = self.inputs.iter().collect();
        if matches!(self.state, State::Warming(done) if done >= WARM_UP) {
            self.state = match self.machine.record(|| function(&mine)) {
                Ok((graph, outputs)) => State::Recorded { graph, outputs },
                Err(error) => State::GivenUp(error.to_string()),
            };
        }
        match &mut self.state {
            State::Recorded { graph, outputs } => {
                self.machine.replay(graph)?;
                Ok(outputs.iter().map(Tensor::shallow_clone).collect())
            }
            State::GivenUp(_) => self.machine.run(|| function(&mine))?,
            State::Warming(done) => {
                let outputs = self.machine.run(|| function(&mine))??;
                *done += 1;
                Ok(outputs)
            }
        }
    }

    /// A device buffer for an input.
    fn like(&self, input: &Tensor) -> Result<Tensor, TorchExtError> {
        if !input.defined() {
            return Err(TorchExtError::Undefined { what: "an input" });
        }
        Tensor::f_empty(input.size(), (input.kind(), self.device))
            .map_err(|error| TorchExtError::Torch { call: "recorder", text: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    /// Records by running, and counts replays.
    #[derive(Default)]
    struct Fake {
        breaks: bool,
        runs: u32,
        records: u32,
        replays: u32,
    }

    impl Machine for Fake {
        type Graph = ();

        fn run<R>(&mut self, body: impl FnOnce() -> R) -> Result<R, TorchExtError> {
            self.runs += 1;
            Ok(body())
        }

        fn record<R, E: From<TorchExtError>>(
            &mut self,
            body: impl FnOnce() -> Result<R, E>,
        ) -> Result<((), R), E> {
            self.records += 1;
            let result = body()?;
            if self.breaks {
                return Err(TorchExtError::Undefined { what: "luck" }.into());
            }
            Ok(((), result))
        }

        fn replay(&mut self, (): &()) -> Result<(), TorchExtError> {
            self.replays += 1;
            Ok(())
        }
    }

    fn numbers(value: f32, count: i64) -> Tensor {
        Tensor::full([count], f64::from(value), (Kind::Float, Device::Cpu))
    }

    type Doubled = Result<Vec<Tensor>, TorchExtError>;

    #[test]
    fn it_warms_up_records_once_and_replays() {
        let mut steps = Steps::new(Fake::default(), Device::Cpu);
        let mut calls = 0;
        let mut double = |inputs: &[&Tensor]| -> Doubled {
            calls += 1;
            Ok(vec![inputs[0] * 2.0])
        };
        for value in 0..3 {
            let got = steps.call(&[&numbers(value as f32, 2)], &mut double).unwrap();
            assert_eq!(got[0], numbers(2.0 * value as f32, 2));
        }
        let recorded = steps.call(&[&numbers(3.0, 2)], &mut double).unwrap();
        let replayed = steps.call(&[&numbers(4.0, 2)], &mut double).unwrap();
        // The same tensors, and the inputs of the call in the buffers that the recording reads.
        assert_eq!(recorded[0].data_ptr(), replayed[0].data_ptr());
        assert_eq!(steps.inputs[0], numbers(4.0, 2));
        // A last batch of another size is not recorded.
        assert_eq!(steps.call(&[&numbers(5.0, 1)], &mut double).unwrap()[0], numbers(10.0, 1));
        assert_eq!(calls, 5);
        let Fake { runs, records, replays, .. } = steps.machine;
        assert_eq!((runs, records, replays), (4, 1, 2));
    }

    #[test]
    fn a_function_that_cannot_be_recorded_runs_each_time() {
        let mut steps = Steps::new(Fake { breaks: true, ..Fake::default() }, Device::Cpu);
        let mut double = |inputs: &[&Tensor]| -> Doubled { Ok(vec![inputs[0] * 2.0]) };
        for value in 0..6 {
            let got = steps.call(&[&numbers(value as f32, 2)], &mut double).unwrap();
            assert_eq!(got[0], numbers(2.0 * value as f32, 2));
        }
        assert_eq!((steps.machine.runs, steps.machine.records), (6, 1));
        assert!(matches!(&steps.state, State::GivenUp(why) if why == "luck is undefined"));
    }

    /// An error of the function is returned by the call, and the warm-up continues afterwards.
    #[test]
    fn errors_come_back() {
        let mut steps = Steps::new(Fake::default(), Device::Cpu);
        let mut fails = |_: &[&Tensor]| -> Doubled { Err(TorchExtError::Undefined { what: "it" }) };
        for _ in 0..5 {
            assert!(steps.call(&[&numbers(1.0, 2)], &mut fails).is_err());
        }
        assert!(matches!(steps.state, State::Warming(0)));
        assert!(steps.call(&[&Tensor::new()], &mut fails).is_err());
    }

    #[test]
    fn on_the_cpu_the_function_runs_each_time() {
        let mut recorder = Recorder::new(Device::Cpu).unwrap();
        let x = numbers(1.0, 2);
        let mut same = |inputs: &[&Tensor]| -> Doubled { Ok(vec![inputs[0].shallow_clone()]) };
        for _ in 0..6 {
            assert_eq!(recorder.call(&[&x], &mut same).unwrap()[0].data_ptr(), x.data_ptr());
        }
        assert!(!recorder.is_recorded() && recorder.given_up().is_none());
        assert!(Recorder::new(Device::Mps).is_err());
        if !tch::Cuda::is_available() {
            assert!(matches!(Recorder::new(Device::Cuda(0)), Err(TorchExtError::Torch { .. })));
        }
    }
}
