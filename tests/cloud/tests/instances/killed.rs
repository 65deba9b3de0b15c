//! The program is killed and started again: its instances run on, and it goes on from where it was.

use std::collections::BTreeSet;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_autoscaling::types::{LaunchTemplateSpecification, Tag};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ForwardActionConfig, ProtocolEnum,
    RuleCondition, TargetGroupTuple,
};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::image::Image;
use super::world::{EXUVIA_CLOUD, World, is_running, spec};

/// What the instances run: this very program answers each request with the instance's id and its own start.
#[test]
#[ignore = "run by the instances of the next test"]
fn server() {
    let port = std::env::var("PORT").unwrap();
    let id = std::env::var("HOSTNAME").unwrap();
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let body = format!("{id} {}", started.as_nanos());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
}

fn image() -> Vec<u8> {
    let image = Image::running("").program("/server", &std::env::current_exe().unwrap());
    let run = [
        "/server",
        "--exact",
        "killed::server",
        "--ignored",
        "--nocapture",
    ];
    image.entrypoint(&run).saved()
}

struct Program {
    process: Child,
    port: u16,
    scaling: aws_sdk_autoscaling::Client,
    balancing: aws_sdk_elasticloadbalancingv2::Client,
}

impl Program {
    async fn start(world: &World, port: u16, lifeline: &PipeReader) -> Self {
        let process = Command::new(EXUVIA_CLOUD)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--speed", "50"])
            .args(["--upstream", &world.s3.endpoint])
            .arg("--state-dir")
            .arg(&world.state_dir)
            .arg("--instances-live-with-stdin")
            .stdin(lifeline.try_clone().unwrap())
            .stdout(Stdio::null())
            .env("RUST_LOG", "warn")
            .spawn()
            .unwrap();
        until("an open port", async || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        Self {
            process,
            port,
            scaling: aws_sdk_autoscaling::Client::new(&config),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&config),
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn desire(&self, size: i32) {
        let desire = self.scaling.set_desired_capacity();
        let desire = desire
            .auto_scaling_group_name("fleet")
            .desired_capacity(size);
        desire.send().await.unwrap();
    }

    /// The instances that are in service.
    async fn in_service(&self) -> BTreeSet<String> {
        let groups = self
            .scaling
            .describe_auto_scaling_groups()
            .send()
            .await
            .unwrap();
        let group = &groups.auto_scaling_groups()[0];
        let instances = group.instances().iter();
        let in_service = instances.filter(|instance| {
            instance.lifecycle_state().unwrap().as_str() == "InService"
                && instance.health_status() == Some("Healthy")
        });
        in_service
            .map(|instance| instance.instance_id().unwrap().to_owned())
            .collect()
    }

    /// The listener's rules and the targets' health, as they are described.
    async fn described(&self, fleet: &Fleet) -> String {
        let rules = self
            .balancing
            .describe_rules()
            .listener_arn(&fleet.listener);
        let rules = rules.send().await.unwrap();
        format!("{:?} {:?}", rules.rules(), self.healthy(fleet).await)
    }

    async fn healthy(&self, fleet: &Fleet) -> BTreeSet<String> {
        let health = self.balancing.describe_target_health();
        let health = health
            .target_group_arn(&fleet.target_group)
            .send()
            .await
            .unwrap();
        let targets = health.target_health_descriptions().iter();
        let healthy = targets.filter(|target| {
            let state = target.target_health().unwrap().state().unwrap();
            state.as_str() == "healthy"
        });
        healthy
            .map(|target| target.target().unwrap().id().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Two instances behind a listener's rule.
struct Fleet {
    port: u16,
    listener: String,
    target_group: String,
}

impl Fleet {
    async fn of_two(program: &Program) -> Self {
        let elb = &program.balancing;
        let balancer = elb
            .create_load_balancer()
            .name("lb")
            .subnets("subnet-1")
            .subnets("subnet-2");
        let balancer = balancer.send().await.unwrap();
        let balancer = balancer.load_balancers()[0]
            .load_balancer_arn()
            .unwrap()
            .to_owned();
        let nothing = FixedResponseActionConfig::builder()
            .status_code("503")
            .build();
        let nothing = Action::builder()
            .r#type(ActionTypeEnum::FixedResponse)
            .fixed_response_config(nothing)
            .build();
        let port = free_port();
        let listener = elb
            .create_listener()
            .load_balancer_arn(balancer)
            .protocol(ProtocolEnum::Http);
        let listener = listener
            .port(port.into())
            .default_actions(nothing)
            .send()
            .await
            .unwrap();
        let listener = listener.listeners()[0].listener_arn().unwrap().to_owned();
        let group = elb
            .create_target_group()
            .name("fleet")
            .protocol(ProtocolEnum::Http)
            .port(80);
        let group = group
            .vpc_id("vpc-1")
            .health_check_interval_seconds(10)
            .send()
            .await
            .unwrap();
        let target_group = group.target_groups()[0]
            .target_group_arn()
            .unwrap()
            .to_owned();
        let tuple = TargetGroupTuple::builder()
            .target_group_arn(&target_group)
            .weight(100)
            .build();
        let forward = ForwardActionConfig::builder().target_groups(tuple).build();
        let forward = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .forward_config(forward)
            .build();
        let any = RuleCondition::builder()
            .field("path-pattern")
            .values("/*")
            .build();
        let rule = elb.create_rule().listener_arn(&listener).priority(1);
        rule.conditions(any).actions(forward).send().await.unwrap();

        let template = LaunchTemplateSpecification::builder()
            .launch_template_id("lt-1")
            .version("3")
            .build();
        let tags = spec("").tags.into_iter().map(|(key, value)| {
            Tag::builder()
                .key(key)
                .value(value)
                .propagate_at_launch(true)
                .build()
        });
        let create = program.scaling.create_auto_scaling_group();
        let create = create
            .auto_scaling_group_name("fleet")
            .min_size(0)
            .max_size(4)
            .desired_capacity(2);
        let create = create
            .launch_template(template)
            .vpc_zone_identifier("subnet-1,subnet-2");
        let create = create
            .target_group_arns(&target_group)
            .set_tags(Some(tags.collect()));
        create.send().await.unwrap();
        Self {
            port,
            listener,
            target_group,
        }
    }

    /// What answers behind the listener: which instances, and which starts of their program.
    fn answers(&self) -> BTreeSet<String> {
        (0..8).map(|_| self.answer()).collect()
    }

    fn answer(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "no {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cloud_that_is_killed_goes_on_with_the_same_rule_targets_and_instances() {
    let world = World::new("again").await;
    world.release(&image());
    let (held, holding): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
    let mut program = Program::start(&world, free_port(), &held).await;
    let fleet = Fleet::of_two(&program).await;
    until("two healthy targets", async || {
        program.healthy(&fleet).await.len() == 2
    })
    .await;
    until("two in service", async || {
        program.in_service().await.len() == 2
    })
    .await;
    let (described, answers) = (program.described(&fleet).await, fleet.answers());
    assert_eq!(answers.len(), 2, "{answers:?}");

    // Killed with nothing to do.
    program.kill();
    assert!(TcpStream::connect(("127.0.0.1", fleet.port)).is_err());
    program = Program::start(&world, program.port, &held).await;
    assert_eq!(program.described(&fleet).await, described);
    assert_eq!(fleet.answers(), answers);

    // Killed the moment that it took a request.
    program.desire(3).await;
    program.kill();
    program = Program::start(&world, program.port, &held).await;
    until("third healthy target", async || {
        program.healthy(&fleet).await.len() == 3
    })
    .await;
    assert!(fleet.answers().is_superset(&answers));

    // While it is away, an instance ends, which it has to find out.
    let before = program.in_service().await;
    let lost = before.first().unwrap();
    program.kill();
    end_machine(lost);
    program = Program::start(&world, program.port, &held).await;
    until("replacement", async || {
        let now = program.in_service().await;
        now.len() == 3 && !now.contains(lost) && program.healthy(&fleet).await == now
    })
    .await;

    // Without the one that holds the other end of the pipe, nothing stays.
    let mark = world.state_dir.join("instances");
    let mark = mark.to_str().unwrap();
    assert!(is_running(mark));
    program.kill();
    drop((held, holding));
    until("end of the instances", async || !is_running(mark)).await;
}

fn end_machine(id: &str) {
    let file = format!("{id}/work/machine.json");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let machine = processes.filter(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&file)
    });
    for process in machine {
        let pid = process.file_name().to_str().unwrap().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}
