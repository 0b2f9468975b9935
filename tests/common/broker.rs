//! A mosquitto of one's own on a free loopback port, subscribers to it, and a
//! wire that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, PubAckReason, Publish};
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::net::TcpSocket;

/// Ends with the value that holds it.
pub struct Broker {
    pub port: u16,
    config: PathBuf,
    process: Option<Child>,
    _dir: tempfile::TempDir,
}

/// One that was free a moment ago: for what can try another one, or has to come late.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One on which nobody listens, as long as this process lives.
pub fn refusing_port() -> u16 {
    static BOUND: OnceLock<TcpSocket> = OnceLock::new();
    let bound = BOUND.get_or_init(|| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    });
    bound.local_addr().unwrap().port()
}

impl Broker {
    /// Open to everybody, nothing kept on disk.
    pub fn start() -> Broker {
        Broker::with("allow_anonymous true\n")
    }

    /// With these lines in its configuration; `{dir}` is a directory of its own.
    pub fn with(lines: &str) -> Broker {
        // Somebody else may take a port between its choice and the broker's start.
        (0..20).find_map(|_| Broker::try_on(free_port(), lines)).expect("the broker starts")
    }

    pub fn on(port: u16, lines: &str) -> Broker {
        Broker::try_on(port, lines).expect("the broker starts")
    }

    fn try_on(port: u16, lines: &str) -> Option<Broker> {
        Broker::try_whole(port, &format!("listener {port} 127.0.0.1\n{lines}"))
    }

    /// With the configuration that `write` makes, which listens at the two ports it is given
    /// (at the first one it is waited for); `{dir}` as above.
    pub fn whole(write: impl Fn(u16, u16) -> String) -> (Broker, u16) {
        let attempt = || {
            let (port, second) = (free_port(), free_port());
            Broker::try_whole(port, &write(port, second)).map(|broker| (broker, second))
        };
        (0..20).find_map(|_| attempt()).expect("the broker starts")
    }

    fn try_whole(port: u16, text: &str) -> Option<Broker> {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("mosquitto.conf");
        let text = text.replace("{dir}", &dir.path().display().to_string());
        std::fs::write(&config, format!("user root\n{text}\n")).unwrap();
        let mut broker = Broker { port, config, process: None, _dir: dir };
        broker.try_run().then_some(broker)
    }

    pub fn run(&mut self) {
        assert!(self.try_run(), "the broker starts");
    }

    /// Whether it listens; otherwise it has ended.
    fn try_run(&mut self) -> bool {
        assert!(self.process.is_none());
        let mosquitto = ["/usr/sbin/mosquitto", "mosquitto"].into_iter().find(|p| Path::new(p).exists());
        let mut child = Command::new(mosquitto.unwrap_or("mosquitto"))
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        let mut ended = false;
        wait_for("the broker listens", || {
            let listens = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            // It may be somebody else who listens.
            ended = child.try_wait().unwrap().is_some();
            listens || ended
        });
        self.process = (!ended).then_some(child);
        !ended
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether it runs, and as what.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Removes what it has kept on disk (`persistence_location {dir}/`).
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.config.with_file_name("mosquitto.db"));
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for `what` to become true; panics after 60 s.
pub fn wait_for(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub bytes: Vec<u8>,
    pub retained: bool,
    /// The number of an event in JSON.
    pub seq: Option<u64>,
}

impl Message {
    fn of(publish: &Publish) -> Message {
        let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
        let json = || serde_json::from_slice::<serde_json::Value>(&publish.payload).ok();
        Message {
            seq: topic.contains("/event/").then(json).flatten().and_then(|event| event["seq"].as_u64()),
            topic,
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            bytes: publish.payload.to_vec(),
            retained: publish.retain,
        }
    }
}

/// Hears everything below `tawny/` (or another filter), and comes back quickly when the broker does.
pub struct Subscriber {
    messages: Arc<Mutex<Vec<Arc<Message>>>>,
    subscribed: Arc<AtomicBool>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Subscriber {
    pub fn start(port: u16) -> Subscriber {
        let mut options = MqttOptions::new(format!("subscriber-{port}-{}", rand_suffix()), "127.0.0.1", port);
        options.set_clean_start(true).set_max_packet_size(Some(1 << 20));
        Subscriber::with(options)
    }

    /// With a session that outlives connections, QoS 1: misses nothing.
    pub fn persistent(port: u16) -> Subscriber {
        let mut options = MqttOptions::new(format!("subscriber-{port}-{}", rand_suffix()), "127.0.0.1", port);
        options.set_clean_start(false);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(3600);
        // Otherwise the client hangs up at a still of over 10 kB.
        properties.max_packet_size = Some(1 << 20);
        options.set_connect_properties(properties);
        Subscriber::start_with(options, QoS::AtLeastOnce)
    }

    pub fn with(options: MqttOptions) -> Subscriber {
        Subscriber::start_with(options, QoS::AtMostOnce)
    }

    /// Hears what is below `filter` instead.
    pub fn to(port: u16, filter: &'static str) -> Subscriber {
        let mut options = MqttOptions::new(format!("subscriber-{port}-{}", rand_suffix()), "127.0.0.1", port);
        options.set_clean_start(true).set_max_packet_size(Some(1 << 20));
        Subscriber::start_to(options, QoS::AtLeastOnce, filter)
    }

    fn start_with(options: MqttOptions, qos: QoS) -> Subscriber {
        Subscriber::start_to(options, qos, "tawny/#")
    }

    fn start_to(options: MqttOptions, qos: QoS, filter: &'static str) -> Subscriber {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let subscribed = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (sink, flag) = (Arc::clone(&messages), Arc::clone(&subscribed));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! { () = listen(options, (filter, qos), sink, flag) => {}, _ = stopped => {} }
            });
        });
        let subscriber = Subscriber { messages, subscribed, stop: Some(stop), thread: Some(thread) };
        wait_for("the subscriber is there", || subscriber.is_subscribed());
        subscriber
    }

    pub fn is_subscribed(&self) -> bool {
        self.subscribed.load(Ordering::SeqCst)
    }

    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.messages.lock().unwrap().clone()
    }

    /// The numbers of the events heard, each once, in order.
    pub fn seqs(&self) -> Vec<u64> {
        let mut seqs: Vec<u64> = self.messages.lock().unwrap().iter().filter_map(|m| m.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        seqs
    }
}

fn rand_suffix() -> u32 {
    getrandom::u32().unwrap()
}

async fn listen(
    options: MqttOptions,
    (filter, qos): (&str, QoS),
    sink: Arc<Mutex<Vec<Arc<Message>>>>,
    subscribed: Arc<AtomicBool>,
) {
    let (client, mut events) = AsyncClient::new(options, 10);
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                client.try_subscribe(filter, qos).unwrap();
            }
            Ok(Event::Incoming(Incoming::SubAck(_))) => subscribed.store(true, Ordering::SeqCst),
            Ok(Event::Incoming(Incoming::Publish(p))) => sink.lock().unwrap().push(Arc::new(Message::of(&p))),
            Ok(_) => {}
            Err(_) => {
                subscribed.store(false, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One publish by a client of its own; says what the broker answered.
pub fn publish_as(login: Option<(&str, &str)>, port: u16, topic: &str, retain: bool, payload: &str) -> PubAckReason {
    let mut options = MqttOptions::new(format!("somebody-{}", getrandom::u32().unwrap()), "127.0.0.1", port);
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, mut events) = AsyncClient::new(options, 10);
        client.try_publish(topic, QoS::AtLeastOnce, retain, payload.to_owned()).unwrap();
        loop {
            if let Event::Incoming(Incoming::PubAck(ack)) = events.poll().await.unwrap() {
                return ack.reason;
            }
        }
    })
}

/// A TCP wire to a port that can be cut, as often as one likes.
pub struct Wire {
    pub port: u16,
    ends: Arc<Mutex<Vec<TcpStream>>>,
    refusing: Arc<AtomicBool>,
}

impl Wire {
    pub fn to(target: u16) -> Wire {
        Wire::with(target, Duration::ZERO)
    }

    /// At most two megabytes a second each way, so that what is sent takes its time.
    #[allow(dead_code)]
    pub fn slow(target: u16) -> Wire {
        Wire::with(target, Duration::from_millis(2))
    }

    /// Rests after every 4 kB.
    fn with(target: u16, rest: Duration) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        let refusing = Arc::new(AtomicBool::new(false));
        let (all, closed) = (Arc::clone(&ends), Arc::clone(&refusing));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let pairs = [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())];
                // Before anything can come through: whoever cuts it cuts all of it.
                all.lock().unwrap().extend([near, far]);
                for (from, to) in pairs {
                    let (from, to) = (from.unwrap(), to.unwrap());
                    std::thread::spawn(move || pump(from, to, rest));
                }
            }
        });
        Wire { port, ends, refusing }
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    pub fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, rest: Duration) {
    let mut buffer = [0; 4096];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
        std::thread::sleep(rest);
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
