//! The server as its operator starts it: a process of its own, over what a [`World`](entente::demo::world::World) has made.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        let set = |key: &str, value: &Path| format!("{key}={}", value.display());
        let mut server = Command::new(env!("CARGO_BIN_EXE_entente-server"));
        for setting in [
            "host=USA".to_owned(),
            "api.listen=127.0.0.1:0".to_owned(),
            "admin.listen=127.0.0.1:0".to_owned(),
            set("api.certificate", &dir.join("pki/server/server.crt")),
            set("api.private_key", &dir.join("pki/server/server.key")),
            format!("database.url=sqlite://{}", dir.join("entente.db").display()),
            set("blobs.folder", &dir.join("blobs")),
            set("trust.crl_folder", &dir.join("crls")),
            // The officer of `attacks` begins one each time, through all attacks of a run.
            "quotas.programs_per_partner=1000000".to_owned(),
        ] {
            server.args(["--set", &setting]);
        }
        let mut child = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let address =
            said.split_whitespace().find_map(|word| word.strip_prefix("api=")).unwrap_or_else(|| panic!("{said}"));
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port }
    }

    pub(crate) fn peak_kib(&self) -> u32 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']))
}
