//! The services that the functions call besides Auto Scaling and Elastic Load Balancing, in memory.
