//! Tiles are state of a thread, which libtorch's own kernels also set.

use std::thread;

use crate::case::{BEST, Case, Sizes, Way, run};

/// Alternates with libtorch's convolutions of other shapes, in several threads at once, twice: the bits are always the
/// same.
#[test]
fn libtorchs_kernels_and_ours_leave_each_others_tiles_alone() {
    let sizes = [
        Sizes::new(4, (32, 64), (8, 8), 3),
        Sizes::new(2, (16, 16), (5, 5), 3),
        Sizes::new(3, (64, 32), (9, 7), 1),
    ];
    let once = || {
        let results = sizes.into_iter().flat_map(|sizes| {
            let case = Case::new(sizes);
            [Way::Libtorch, BEST, Way::Libtorch, BEST].map(|way| run(&case, way))
        });
        results.collect::<Vec<_>>()
    };
    let expected = once();
    for four in expected.chunks(4) {
        assert_eq!(four[0].dx, four[1].dx);
        assert_eq!((&four[0], &four[1]), (&four[2], &four[3]));
    }
    thread::scope(|scope| {
        let others: Vec<_> = (0..4).map(|_| scope.spawn(|| [once(), once()])).collect();
        for other in others {
            for results in other.join().unwrap() {
                assert_eq!(results, expected);
            }
        }
    });
}
