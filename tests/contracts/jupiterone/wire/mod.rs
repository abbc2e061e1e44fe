//! Every fault of the wire, at every place, in both plans: what must become of it.
//!
//! [`table`] says it, one line a fault and its places; [`cases`] makes it so. The judge is the simulated
//! JupiterOne, which derives by itself what its graph must hold.

mod bench;

mod watched;

mod leaks;

mod table;

mod cases;

mod pairs;

mod records;

mod outages;

mod cut_off;
