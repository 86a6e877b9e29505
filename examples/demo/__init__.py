"""The main job, played: from 25 councils' pledges to the first certified outcomes."""
