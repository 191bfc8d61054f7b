"""A small client for WeChat Pay's APIv3 pay-gift endpoints. It knows nothing of plans."""
