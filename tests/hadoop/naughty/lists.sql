SELECT id, items FROM logs
