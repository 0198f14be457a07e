"""The routes, one module per kind of object. `team_router` holds all that belongs to a team."""
