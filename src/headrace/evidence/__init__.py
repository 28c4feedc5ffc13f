"""Results of measurements, tied to the exact configuration they were taken on.

They lie beside the fleet file as plain JSON, one file a result, so git can merge and review them.
"""
