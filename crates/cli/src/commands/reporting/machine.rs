//! The machine that a command runs on, in a few words.

use std::fs;

use tch::Device;

use crate::device;

/// The device. For a CPU, its name and the number of compute threads: `Intel Xeon, 2 threads`.
pub(in crate::commands) fn describe(on: Device) -> String {
    if on.is_cuda() {
        return device::name(on);
    }
    let threads = files::counted(tch::get_num_threads(), "thread");
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor =
        processor(&text).unwrap_or_else(|| format!("a processor of kind {}", std::env::consts::ARCH));
    format!("{processor}, {threads}")
}

/// The name of the first processor that Linux lists, without the trade marks.
fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"))?;
    let name = line.trim_start_matches([' ', '\t', ':']).replace("(R)", "").replace("(TM)", "");
    let words: Vec<&str> = name.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_system_without_trade_marks() {
        let info = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor  @ 2 GHz\nflags\t: a b\n";
        assert_eq!(processor(info).unwrap(), "Intel Xeon Processor @ 2 GHz");
        assert_eq!(processor("processor\t: 0\nmodel name\t: \n"), None);
        assert_eq!(processor(""), None);
        assert!(describe(Device::Cpu).contains(" thread"));
    }
}
