//! A real Chromium, driven over its debugging pipe: two FIFOs, one JSON message after the other, each ended by a NUL.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::wait;

/// What a page that is alive takes to answer; a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A page in a browser of its own.
pub struct Browser {
    process: Child,
    orders: File,
    answers: Receiver<Value>,
    sent: u64,
    session: Option<String>,
    complaints: Vec<String>,
    _folder: TempDir,
}

/// What the page is shown on.
#[derive(Clone, Copy, Debug)]
pub struct Display {
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// The person likes it dark.
    pub dark: bool,
}

impl Display {
    /// A window on a desk.
    pub const DESK: Self = Self { width: 1280, height: 900, dark: false };
    /// A telephone.
    pub const PHONE: Self = Self { width: 390, height: 844, dark: false };
}

impl Browser {
    /// Opens a page.
    ///
    /// # Errors
    /// If there is no Chromium, or it does not do what it is told.
    pub fn open(url: &str, display: Display) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let fifo = |name: &str| -> Result<_> {
            let path = folder.path().join(name);
            mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
            Ok(path)
        };
        let (orders, answers) = (fifo("orders")?, fifo("answers")?);
        // Chromium reads orders from its file 3 and answers on its file 4.
        let process = Command::new("bash")
            .args(["-c", "exec 3<\"$1\" 4>\"$2\"; shift 2; exec \"$@\"", "chromium"])
            .args([&orders, &answers])
            .args(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg("--hide-scrollbars")
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting chromium")?;
        let orders = File::options().write(true).open(&orders)?;
        let answers = listen(File::open(&answers)?);
        let mut browser =
            Self { process, orders, answers, sent: 0, session: None, complaints: Vec::new(), _folder: folder };
        browser.attach(display)?;
        browser.call("Page.navigate", &json!({ "url": url }))?;
        Ok(browser)
    }

    fn attach(&mut self, display: Display) -> Result<()> {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attached =
            self.call("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        self.session = Some(attached["sessionId"].as_str().context("no session")?.to_owned());
        let Display { width, height, dark } = display;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &media)?;
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, &json!({}))?;
        }
        Ok(())
    }

    /// Sends an order, and gives its result.
    ///
    /// # Errors
    /// If the browser refuses, or has gone.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.sent += 1;
        let mut order = json!({ "id": self.sent, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        self.orders.write_all(format!("{order}\0").as_bytes())?;
        loop {
            let mut answer = self.answers.recv_timeout(PATIENCE).with_context(|| format!("no answer to {method}"))?;
            if answer["id"] == self.sent {
                ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return Ok(answer["result"].take());
            }
            self.heed(&answer);
        }
    }

    /// Keeps what the page itself complains about.
    fn heed(&mut self, event: &Value) {
        let told = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(&event["params"]["exceptionDetails"]),
            Some("Runtime.consoleAPICalled") => Some(&event["params"]["args"]),
            Some("Log.entryAdded") => Some(&event["params"]["entry"]),
            _ => None,
        };
        self.complaints.extend(told.map(Value::to_string));
    }

    /// What the page has complained about, such as an exception or a request that failed.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The value of an expression in the page; a promise is waited for.
    ///
    /// # Errors
    /// If it throws.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", &how)?;
        ensure!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Errors
    /// If that takes too long; the error holds what the page shows.
    pub fn until(&mut self, expression: &str) -> Result<()> {
        let come = wait::until(expression, PATIENCE, || Ok((self.value(expression)? == true).then_some(())));
        come.or_else(|error| bail!("{error:#}\n{}", self.text("body")?))
    }

    /// The text that a person sees of an element.
    ///
    /// # Errors
    /// If there is no such element.
    pub fn text(&mut self, selector: &str) -> Result<String> {
        let text = self.value(&format!("document.querySelector({}).innerText", json!(selector)))?;
        Ok(text.as_str().context("no text")?.to_owned())
    }

    /// Types text where the focus is.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.call("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Presses a key such as `Enter`, `Tab` or `Space`.
    ///
    /// # Errors
    /// If the browser refuses.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let (key, code, text) = match key {
            "Enter" => ("Enter", 13, Some("\r")),
            "Space" => (" ", 32, Some(" ")),
            "Tab" => ("Tab", 9, None),
            other => bail!("nobody presses {other}"),
        };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if let Some(text) = text {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", &event)?;
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &event).map(drop)
    }

    /// Writes a picture of the whole page.
    ///
    /// # Errors
    /// If it cannot be taken or written.
    pub fn picture(&mut self, path: &Path) -> Result<()> {
        let taken = self.call("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }))?;
        let text = taken["data"].as_str().context("no picture")?;
        std::fs::write(path, from_base64(text)?).with_context(|| path.display().to_string())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The messages that come, until the browser has gone.
fn listen(answers: File) -> Receiver<Value> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let Ok(message) = message.map(|bytes| serde_json::from_slice::<Value>(&bytes)) else { return };
            if message.is_ok_and(|message| send.send(message).is_err()) {
                return;
            }
        }
    });
    receive
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.bytes().take_while(|letter| *letter != b'=') {
        let six = LETTERS.iter().position(|other| *other == letter).context("no base64")?;
        held = (held << 6) | u32::try_from(six)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Ok(bytes)
}
