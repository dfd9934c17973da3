//! Networks as ONNX files predict the same as in libtorch: their graphs are read from the bytes and run operator by operator.
//! `scripts/check_onnx.py` does the same with onnxruntime.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod cases;
mod interpreter;
#[path = "../../../interchange/tests/onnx/reader.rs"]
mod reader;
#[path = "../unet2d/replay.rs"]
#[allow(dead_code, reason = "the table of another test")]
mod replay;
#[path = "../unet2d/rule.rs"]
mod rule;

/// Largest error, relative to the largest value of a prediction.
const LIMIT: f32 = 2e-5;

fn predicted(case: &cases::Case) -> Vec<f32> {
    let shape = case.shape.map(|size| size as i64);
    let mut inputs = vec![
        ("x_t", tensor_io::from_slice(&case.x, &shape).unwrap()),
        ("t", tensor_io::from_slice(&case.t, &shape[..1]).unwrap()),
    ];
    if let Some(labels) = &case.labels {
        inputs.push(("class", tensor_io::from_slice(labels, &shape[..1]).unwrap()));
    }
    tensor_io::to_vec(&interpreter::run(&case.file, &inputs)).unwrap()
}

#[test]
fn every_network_predicts_the_same_as_in_libtorch() {
    let mut failed = Vec::new();
    let count = cases::each(|case| {
        let got = predicted(case);
        assert_eq!(got.len(), case.prediction.len(), "{}", case.name);
        let largest = case.prediction.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let gaps = got.iter().zip(&case.prediction).map(|(a, b)| (a - b).abs());
        // `max` would ignore a NaN.
        let gap = gaps.fold(0.0, |most: f32, gap| if gap <= most { most } else { gap });
        if gap.is_nan() || gap > LIMIT * largest {
            failed.push(format!("{}: {:e}", case.name, gap / largest));
        }
        Ok(())
    });
    assert_eq!(count.unwrap(), 53);
    assert!(failed.is_empty(), "{failed:?}");
}
