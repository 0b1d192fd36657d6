pub struct TestClock(std::sync::atomic::AtomicU64);
impl TestClock {
    pub fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(std::sync::atomic::AtomicU64::new(1_800_000_000_000)))
    }
}
impl countersign::environment::Clock for TestClock {
    fn now(&self) -> countersign::environment::UnixMillis {
        countersign::environment::UnixMillis(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}
