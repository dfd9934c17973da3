//! What is computed: the same as by Gloo.

use tch::{Device, Kind, Tensor};
use torch_ext::{Collective, Meeting, NcclLibrary, StoreServer, TorchExtError};

use crate::built::stand_in;
use crate::ranks::{LONG, in_group, joined, numbers, on_two, open};

const SUMMED: [Kind; 4] = [Kind::Float, Kind::Double, Kind::Int64, Kind::BFloat16];

/// Numbers whose sums round.
fn thirds(kind: Kind, rank: usize) -> Tensor {
    (numbers(Kind::Double, rank) / 3.0 * if kind == Kind::Int64 { 10.0 } else { 1.0 }).to_kind(kind)
}

/// The id goes over Gloo, as it does between ranks.
#[test]
fn sums_of_every_type_are_those_of_gloo() {
    let (built, store) = (stand_in("gloo", &[]), StoreServer::new("127.0.0.1", 0, LONG).unwrap());
    let (host, port) = ("127.0.0.1", store.port());
    on_two(|rank| {
        let meeting = Meeting {
            host,
            port,
            serves: false,
            prefix: "nccl",
            interface: None,
            rank,
            size: 2,
            timeout: LONG,
            limit: LONG,
        };
        let (gloo, library) = (Collective::join(&meeting).unwrap(), open(&built));
        let own = if rank == 0 { library.new_id().unwrap().to_vec() } else { Vec::new() };
        let id = gloo.all_gather(&own).unwrap().swap_remove(0).try_into().unwrap();
        let nccl = joined(&library, &id, rank, LONG).unwrap();
        assert_eq!((nccl.rank(), nccl.size(), nccl.device()), (rank, 2, Device::Cpu));
        for kind in SUMMED {
            let (mut direct, mut expected) = (thirds(kind, rank), thirds(kind, rank));
            nccl.all_reduce(&mut direct).unwrap();
            gloo.all_reduce(&mut expected).unwrap();
            // A sum of two numbers is rounded once, whoever computes it.
            assert_eq!(direct, expected, "{kind:?}");
        }
    });
}

#[test]
fn sums_that_are_begun_end_in_any_order_and_broadcasts_take_any_type() {
    let built = stand_in("order", &[]);
    in_group(&built, LONG, |nccl| {
        let rank = nccl.rank();
        let begin = |kind| nccl.begin_all_reduce(numbers(kind, rank)).unwrap();
        let (first, forgotten, last) = (begin(Kind::Float), begin(Kind::Double), begin(Kind::BFloat16));
        drop(forgotten);
        assert_eq!(last.finish().unwrap(), numbers(Kind::BFloat16, 0) + numbers(Kind::BFloat16, 1));
        assert_eq!(first.finish().unwrap(), numbers(Kind::Float, 0) + numbers(Kind::Float, 1));
        for from in [0, 1] {
            for kind in [Kind::Uint8, Kind::Bool, Kind::Half, Kind::Double] {
                let mut x = numbers(kind, rank);
                nccl.broadcast(&mut x, from).unwrap();
                assert_eq!(x, numbers(kind, from));
            }
        }
        // Nothing to send.
        let mut empty = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
        nccl.all_reduce(&mut empty).unwrap();
        nccl.broadcast(&mut empty, 1).unwrap();
        nccl.wait().unwrap();
    });
}

/// A sum may be begun on the thread of a backward pass.
#[test]
fn another_thread_may_begin_a_sum() {
    let built = stand_in("thread", &[]);
    in_group(&built, LONG, |nccl| {
        let x = numbers(Kind::Float, nccl.rank());
        let begun = std::thread::scope(|scope| scope.spawn(|| nccl.begin_all_reduce(x)).join().unwrap());
        assert_eq!(begun.unwrap().finish().unwrap(), numbers(Kind::Float, 0) + numbers(Kind::Float, 1));
    });
}

/// Refused before anything is sent, so the other process need not do the same, and the group is still of use.
#[test]
fn tensors_and_places_that_do_not_qualify_are_refused() {
    let built = stand_in("refused", &[]);
    in_group(&built, LONG, |nccl| {
        let refused = |mut x: Tensor| nccl.all_reduce(&mut x).unwrap_err();
        assert!(matches!(refused(numbers(Kind::Bool, 0)), TorchExtError::Kind { got: Kind::Bool, .. }));
        assert!(matches!(refused(numbers(Kind::Float, 0).view([10, 20]).tr()), TorchExtError::Shape { .. }));
        assert!(matches!(refused(Tensor::new()), TorchExtError::Undefined { .. }));
        let x = numbers(Kind::Float, 0);
        let shared = nccl.begin_all_reduce(x.shallow_clone()).err().unwrap();
        assert!(matches!(shared, TorchExtError::Overlap { .. }), "{shared}");
        let error = nccl.broadcast(&mut numbers(Kind::Float, 0), 2).unwrap_err();
        assert!(matches!(error, TorchExtError::Rank { got: 2, size: 2, .. }), "{error}");
        let mut x = numbers(Kind::Float, nccl.rank());
        nccl.all_reduce(&mut x).unwrap();
        assert_eq!(x, numbers(Kind::Float, 0) + numbers(Kind::Float, 1));
    });
    let (library, id) = (open(&built), [0; 128]);
    let error = joined(&library, &id, 2, LONG).err().unwrap();
    assert!(matches!(error, TorchExtError::Rank { got: 2, size: 2, .. }), "{error}");
    let error = torch_ext::Nccl::join(&library, &id, (0, 2), Device::Cuda(0), LONG).err().unwrap();
    assert!(matches!(error, TorchExtError::Device { got: Device::Cuda(0), .. }), "{error}");
}

/// Without a GPU libtorch has loaded no NCCL; with one, it must be usable.
#[test]
fn the_library_of_libtorch_is_found_where_it_is_loaded() {
    torch_ext::load_cuda_part().unwrap();
    match NcclLibrary::open() {
        Ok(library) => assert!(library.version().starts_with("2."), "{}", library.version()),
        Err(error) => {
            assert!(!tch::Cuda::is_available(), "{error}");
            assert!(error.to_string().starts_with("cannot use libnccl.so.2: "), "{error}");
        }
    }
}
