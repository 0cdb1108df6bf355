SELECT id, text, flag, i32, i64, f64, d9, d10, d18, d19, d38, at, day, part FROM logs
