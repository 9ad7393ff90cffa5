//! The shared suite, over `SQLite` and over the model that the simulation trusts.

use polos_store::Store;
use polos_store::sqlite::{self, Options};

fn with_sqlite(behaviour: fn(&dyn Store)) {
    let directory = tempfile::tempdir().unwrap();
    behaviour(&sqlite::Store::open(directory.path(), Options::default()).unwrap());
}

fn with_memory(behaviour: fn(&dyn Store)) {
    behaviour(&polos_testkit::store::Memory::new());
}

mod sqlite_store {
    polos_testkit::store_suite!(super::with_sqlite);
}

mod memory {
    polos_testkit::store_suite!(super::with_memory);
}
