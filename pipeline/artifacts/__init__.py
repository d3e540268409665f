"""What the stages wrote: in the output on this machine or, with `output.artifacts`, in a store with copies here."""
