package postgres

import "context"

// DynoCounts counts the dynos that have not ended, by state.
func (db *DB) DynoCounts(ctx context.Context) (map[string]int, error) {
	rows, err := db.Pool.Query(ctx, `SELECT state, count(*) FROM dynos WHERE state <> 'down' GROUP BY state`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var state string
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return nil, err
		}
		counts[state] = n
	}
	return counts, rows.Err()
}
