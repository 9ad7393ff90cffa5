//! An archive of one file, as the archive API takes it.

/// The unit in which archives are written.
const BLOCK: usize = 512;

/// A tar archive with one executable file in it, which belongs to root.
pub(super) fn of_program(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; BLOCK];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000555\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = Vec::with_capacity(content.len() + 4 * BLOCK);
    archive.extend(header);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn tar_reads_it() {
        let content = vec![7; 1_000];
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar")
            .args(["-x", "-C"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&of_program("polos", &content)).unwrap();
        assert!(tar.wait().unwrap().success());
        assert_eq!(std::fs::read(dir.path().join("polos")).unwrap(), content);
    }
}
