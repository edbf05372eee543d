//! The console, tested over its real router and a real database.
