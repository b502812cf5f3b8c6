"""Figures of customer service: resolution, turns, hand-overs, actions, times, satisfaction.

They are read from rows of dialogues, never from their texts. A dialogue counts on the day on which
it began.
"""
