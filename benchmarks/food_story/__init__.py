"""The parts of `food_story.py`: data, trainings, answers, tables. Some serve the scripts beside it too."""
