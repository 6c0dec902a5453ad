"""How two sides agree: translate, merge, plan. Pure; knows neither Salesforce's API nor SQL."""
