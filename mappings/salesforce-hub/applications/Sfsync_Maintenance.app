<?xml version="1.0" encoding="UTF-8"?>
<!-- Generated from mappings/*.yaml by: sfsync metadata generate. Do not edit. -->
<CustomApplication xmlns="http://soap.sforce.com/2006/04/metadata">
    <description>Prepaid maintenance: hours left, estimates to decide on, work of the week.</description>
    <formFactors>Small</formFactors>
    <formFactors>Large</formFactors>
    <label>Maintenance</label>
    <navType>Standard</navType>
    <tabs>Maintenance_Account__c</tabs>
    <tabs>Maintenance_Pack__c</tabs>
    <tabs>Maintenance_Estimate__c</tabs>
    <tabs>standard-Case</tabs>
    <tabs>Time_Entry__c</tabs>
    <tabs>Weekly_Summary__c</tabs>
    <uiType>Lightning</uiType>
</CustomApplication>
