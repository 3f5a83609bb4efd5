//! Workers: each step once, whoever dies or sleeps.
