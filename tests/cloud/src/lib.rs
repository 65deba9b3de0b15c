//! The part of AWS that no emulator has: Auto Scaling and Elastic Load Balancing that behave in time as AWS does,
//! with real processes as instances and a real load balancer in front of them.
//!
//! [`model`] is pure: a state machine over timestamps, without IO, which serves in real time behind HTTP
//! ([`face`], [`runtime`]) and as well in the virtual time of a simulation. [`wire`] is AWS's query protocol on
//! top of it. What the model wants done, [`instance`] (the machines), [`balancer`] (the traffic) and [`probe`] (the
//! health checks) do, and [`metrics`] reports what came of the traffic. [`journal`] remembers what it was told, for the next process. Everything that is not Auto Scaling or Elastic Load Balancing is forwarded to another local
//! AWS.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod authority;
pub mod balancer;
pub mod clock;
pub mod ec2;
pub mod face;
pub mod instance;
pub mod journal;
pub mod metrics;
pub mod model;
pub mod probe;
pub mod routes;
pub mod runtime;
pub mod wire;
