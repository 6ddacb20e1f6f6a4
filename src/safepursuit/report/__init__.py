"""What people look at: tables and figures, made from recordings and metric logs; nothing here trains."""
